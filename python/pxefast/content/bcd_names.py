"""What bcdedit calls the objects and elements of a BCD store (B-14..B-16)."""

from __future__ import annotations

__all__ = ["ALIASES", "element_name", "object_kind"]

# Identifiers that bcdedit shows by name (B-15).
ALIASES = {
    "{9dea862c-5cdd-4e70-acc1-f32b344d4795}": "{bootmgr}",
    "{a5a30fa2-3d06-4e9f-b5f4-a01df9d1fcba}": "{fwbootmgr}",
    "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}": "{globalsettings}",
    "{4636856e-540f-4170-a130-a84776f4c654}": "{dbgsettings}",
    "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}": "{emssettings}",
    "{5189b25c-5558-4bf2-bca4-289b11bd29e2}": "{badmemory}",
    "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}": "{bootloadersettings}",
    "{7ff607e0-4395-11db-b0de-0800200c9a66}": "{hypervisorsettings}",
    "{1afa9c49-16ab-4a5c-901b-212802da9460}": "{resumeloadersettings}",
    "{b2721d73-1db4-4c62-bf78-c548a880142d}": "{memdiag}",
    "{ae5534e0-a924-466c-b836-758539a3ee3a}": "{ramdiskoptions}",
}

_BOOTMGR, _LOADER, _RESUME, _MEMORY_TEST, _STARTUP = 2, 3, 4, 5, 9
_APPLICATIONS = {
    1: "Firmware Boot Manager",
    _BOOTMGR: "Windows Boot Manager",
    _LOADER: "Windows Boot Loader",
    _RESUME: "Resume from Hibernate",
    _MEMORY_TEST: "Windows Memory Tester",
    6: "Windows Legacy OS Loader",
    8: "Real-mode Boot Sector",
    _STARTUP: "Startup Program",
}

_LIBRARY = {
    0x11000001: "device",
    0x12000002: "path",
    0x12000004: "description",
    0x12000005: "locale",
    0x14000006: "inherit",
    0x15000007: "truncatememory",
    0x14000008: "recoverysequence",
    0x16000009: "recoveryenabled",
    0x1700000A: "badmemorylist",
    0x1600000B: "badmemoryaccess",
    0x1500000C: "firstmegabytepolicy",
    0x1500000D: "relocatephysical",
    0x1500000E: "avoidlowmemory",
    0x1600000F: "traditionalkseg",
    0x16000010: "bootdebug",
    0x15000011: "debugtype",
    0x15000012: "debugaddress",
    0x15000013: "debugport",
    0x15000014: "baudrate",
    0x15000015: "channel",
    0x12000016: "targetname",
    0x16000017: "noumex",
    0x15000018: "debugstart",
    0x12000019: "busparams",
    0x1500001A: "hostip",
    0x1500001B: "port",
    0x1600001C: "dhcp",
    0x1200001D: "key",
    0x1600001E: "vm",
    0x16000020: "bootems",
    0x15000022: "emsport",
    0x15000023: "emsbaudrate",
    0x12000030: "loadoptions",
    0x16000040: "advancedoptions",
    0x16000041: "optionsedit",
    0x15000042: "keyringaddress",
    0x11000043: "bootstatusdevice",
    0x12000044: "bootstatuspath",
    0x16000045: "preservebootstat",
    0x16000046: "graphicsmodedisabled",
    0x15000047: "configaccesspolicy",
    0x16000048: "nointegritychecks",
    0x16000049: "testsigning",
    0x1200004A: "fontpath",
    0x1500004B: "integrityservices",
    0x16000050: "extendedinput",
    0x15000051: "initialconsoleinput",
    0x15000052: "graphicsresolution",
    0x16000053: "restartonfailure",
    0x16000054: "highestmode",
    0x16000060: "isolatedcontext",
    0x15000065: "displaymessage",
    0x15000066: "displaymessageoverride",
    0x16000068: "nobootuxtext",
    0x16000069: "nobootuxprogress",
    0x1600006A: "nobootuxfade",
    0x1600006C: "bootuxdisabled",
    0x16000072: "nokeyboard",
    0x16000074: "bootshutdowndisabled",
    0x17000077: "allowedinmemorysettings",
    0x1600007B: "forcefipscrypto",
    0x1600007E: "flightsigning",
}
_DEVICE = {
    0x35000001: "ramdiskimageoffset",
    0x35000002: "ramdisktftpclientport",
    0x31000003: "ramdisksdidevice",
    0x32000004: "ramdisksdipath",
    0x35000005: "ramdiskimagelength",
    0x36000006: "exportascd",
    # Not 36000007 and 36000008, as an enumeration in public has it (B-17).
    0x35000007: "ramdisktftpblocksize",
    0x35000008: "ramdisktftpwindowsize",
    0x36000009: "ramdiskmcenabled",
    0x3600000A: "ramdiskmctftpfallback",
    0x3600000B: "ramdisktftpvarwindow",
}
# One number means different things to different applications.
_OF_APPLICATION = {
    _BOOTMGR: {
        0x24000001: "displayorder",
        0x24000002: "bootsequence",
        0x23000003: "default",
        0x25000004: "timeout",
        0x26000005: "resume",
        0x23000006: "resumeobject",
        0x24000010: "toolsdisplayorder",
        0x26000020: "displaybootmenu",
        0x26000021: "noerrordisplay",
        0x21000022: "bcddevice",
        0x22000023: "bcdfilepath",
        0x26000028: "processcustomactionsfirst",
        0x27000030: "customactions",
        0x26000031: "persistbootsequence",
    },
    _LOADER: {
        0x21000001: "osdevice",
        0x22000002: "systemroot",
        0x23000003: "resumeobject",
        0x26000004: "stampdisks",
        0x26000010: "detecthal",
        0x22000011: "kernel",
        0x22000012: "hal",
        0x22000013: "dbgtransport",
        0x25000020: "nx",
        0x25000021: "pae",
        0x26000022: "winpe",
        0x26000024: "nocrashautoreboot",
        0x26000025: "lastknowngood",
        0x26000030: "nolowmem",
        0x25000031: "removememory",
        0x25000032: "increaseuserva",
        0x26000040: "vga",
        0x26000041: "quietboot",
        0x26000042: "novesa",
        0x26000043: "novga",
        0x22000053: "evstore",
        0x26000060: "onecpu",
        0x25000061: "numproc",
        0x26000062: "maxproc",
        0x25000063: "configflags",
        0x26000070: "usefirmwarepcisettings",
        0x25000071: "msi",
        0x25000072: "pciexpress",
        0x25000080: "safeboot",
        0x26000081: "safebootalternateshell",
        0x26000090: "bootlog",
        0x26000091: "sos",
        0x260000A0: "debug",
        0x260000A1: "halbreakpoint",
        0x260000A2: "useplatformclock",
        0x260000A3: "forcelegacyplatform",
        0x260000A4: "useplatformtick",
        0x260000A5: "disabledynamictick",
        0x250000A6: "tscsyncpolicy",
        0x260000B0: "ems",
        0x250000C1: "driverloadfailurepolicy",
        0x250000C2: "bootmenupolicy",
        0x260000C3: "onetimeadvancedoptions",
        0x250000E0: "bootstatuspolicy",
        0x260000E1: "disableelamdrivers",
        0x250000F0: "hypervisorlaunchtype",
        0x260000F2: "hypervisordebug",
        0x250000F3: "hypervisordebugtype",
        0x250000F4: "hypervisordebugport",
        0x250000F5: "hypervisorbaudrate",
        0x250000F6: "hypervisorchannel",
        0x250000F7: "bootux",
        0x25000100: "tpmbootentropy",
        0x25000120: "xsavepolicy",
    },
    _RESUME: {
        0x21000001: "filedevice",
        0x22000002: "filepath",
        0x26000003: "customsettings",
        0x26000004: "pae",
        0x21000005: "associatedosdevice",
        0x26000006: "debugoptionenabled",
        0x25000007: "bootux",
        0x25000008: "bootmenupolicy",
    },
    _MEMORY_TEST: {
        0x25000001: "passcount",
        0x25000002: "testmix",
        0x25000003: "failurecount",
        0x25000004: "testtofail",
    },
    _STARTUP: {0x26000001: "pxesoftreboot"},
}


def element_name(number: int, object_type: int) -> str:
    """bcdedit's name of an element in an object of that type; custom:xxxxxxxx if it has none."""
    known = _LIBRARY | _DEVICE | _OF_APPLICATION.get(object_type & 0xFFFFF, {})
    return known.get(number, f"custom:{number:08x}")


def object_kind(object_type: int) -> str:
    """The heading that bcdedit gives an object of that type."""
    match object_type >> 28:
        case 1:
            return _APPLICATIONS.get(object_type & 0xFFFFF, "Application")
        case 2:
            return "Inheritable Settings"
        case 3:
            return "Device Options"
        case _:
            return "Unknown"
