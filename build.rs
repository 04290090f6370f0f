//! Compiles `python/pxefast/decide/*.py` with Cython into the one native library (design decision 5).
//!
//! Each module keeps its own `PyInit_<module>` symbol; `pxefast.decide` loads them from the library with
//! `ExtensionFileLoader` (PEP 489: many modules, one file). A build without the `python` feature skips this.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// In import order: a later module may import an earlier one.
const MODULES: [&str; 12] = [
    "identifiers",
    "records",
    "placeholders",
    "reasons",
    "exclusion",
    "bootimage",
    "windows",
    "identity",
    "settling",
    "deployment",
    "endings",
    "decision",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PYO3_PYTHON");
    println!("cargo:rustc-env=PXEFAST_PROFILE={}", env::var("PROFILE").unwrap_or_default());
    println!("cargo:rerun-if-env-changed=RUSTC_WORKSPACE_WRAPPER");
    // Clippy links nothing: it needs none of this.
    let linter = env::var("RUSTC_WORKSPACE_WRAPPER").is_ok_and(|wrapper| wrapper.contains("clippy"));
    if linter || env::var_os("CARGO_FEATURE_PYTHON").is_none() {
        return;
    }
    let source = Path::new("python/pxefast/decide");
    for module in MODULES {
        // Beside a module there may be a .pxd: which of its classes are structures, and which of others' it uses.
        for file in ["py", "pxd"].map(|ending| source.join(format!("{module}.{ending}"))) {
            if file.exists() {
                println!("cargo:rerun-if-changed={}", file.display());
            }
        }
    }
    let python = env::var("PYO3_PYTHON").unwrap_or_else(|_| "python3".into());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let include = capture(&python, &["-c", "import sysconfig; print(sysconfig.get_path('include'))"]);

    let mut c = cc::Build::new();
    c.include(include.trim()).opt_level(3).warnings(false).flag_if_supported("-fno-strict-overflow");
    // Lines for profiles, as the release profile has for Rust. The whole of -g takes the compiler four times as long.
    c.debug(false).flag("-g1").force_frame_pointer(true);
    for module in MODULES {
        let target = out.join(format!("{module}.c"));
        let name = format!("pxefast.decide.{module}");
        run(Command::new(&python)
            // nonecheck: a None where none may be is an AttributeError in C as well, never a stray pointer.
            // auto_cpdef: functions of one module call each other in C.
            .args(["-m", "cython", "-3", "-X", "nonecheck=True,auto_cpdef=True,binding=False,infer_types=True"])
            .args(["--module-name", &name, "-o"])
            .arg(&target)
            .arg(source.join(format!("{module}.py"))));
        c.file(target);
    }
    // No automatic link line: rustc would put the archive before the objects that nobody refers to and drop it.
    c.cargo_metadata(false).compile("pxefast_decide");

    // rustc hides every symbol that is not Rust's; a second version script makes the module entries visible again.
    let script = out.join("decide.map");
    let entries: String = MODULES.iter().map(|m| format!("PyInit_{m}; ")).collect();
    std::fs::write(&script, format!("{{ global: {entries} }};\n"))
        .unwrap_or_else(|e| fail(&format!("{}: {e}", script.display())));
    for argument in [
        "-Wl,--whole-archive".to_owned(),
        out.join("libpxefast_decide.a").display().to_string(),
        "-Wl,--no-whole-archive".to_owned(),
        format!("-Wl,--version-script={}", script.display()),
    ] {
        println!("cargo:rustc-link-arg-cdylib={argument}");
    }
}

fn run(command: &mut Command) {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            fail(&format!("{command:?} ended with {status}; is cython installed? (pip install 'cython>=3.1')"))
        }
        Err(error) => fail(&format!("{command:?}: {error}")),
    }
}

fn capture(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        other => fail(&format!("{program} {arguments:?}: {other:?}")),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("pxefast build: {why}");
    std::process::exit(1);
}
