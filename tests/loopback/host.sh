#!/bin/sh
# The first process of a host: host.sh FOLDER CHECKOUT PYTHON PACKAGES, in namespaces of its own.
#
# The host has this machine's files, with pxefast's as /usr/bin/pxefast and in /opt/pxefast; what it changes is in memory
# and ends with it. Nothing but its log starts by itself, and nothing of the kernel that all hosts share can be changed.
set -eu
folder=$1 checkout=$2 python=$3 packages=$4
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
root=$folder/root
mkdir "$folder/changed" "$folder/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/changed,workdir=$folder/work" overlay "$root"

there() {
    mkdir -p "$root/opt/pxefast/$2"
    mount --bind "$1" "$root/opt/pxefast/$2"
}
there "$checkout/packaging" packaging
there "$checkout/python" python
there "$python" interpreter
there "$packages" packages
cat >"$root/usr/bin/pxefast" <<END
#!/bin/sh
PYTHONPATH=/opt/pxefast/python:/opt/pxefast/packages exec /opt/pxefast/interpreter/bin/python3 -m pxefast "\$@"
END
chmod 755 "$root/usr/bin/pxefast"

for place in run tmp dev; do
    mount -t tmpfs tmpfs "$root/$place"
done
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"

rm -rf "$root"/etc/systemd/system/* "$root"/usr/lib/systemd/system/*.wants
printf '[Unit]\nDescription=A log, and nothing else\nWants=systemd-journald.service\n' >"$root/etc/systemd/system/default.target"
cd "$root"
mkdir outside
pivot_root . outside
umount -l /outside
exec env -i container=pxefast PATH="$PATH" systemd --show-status=no
