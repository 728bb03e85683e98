#!/bin/sh
# Process 1 of a guest whose root is the host's "/", read-only.  Words of the kernel command line:
#   hipgw.job=DIR      the only directory of the host that is writable here, at /mnt/job: job.sh comes
#                      from it; log, boot and status go into it
#   hipgw.modules=DIR  the kernel modules of this kernel, as under /lib/modules/RELEASE
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TMPDIR=/var/tmp PYTHONDONTWRITEBYTECODE=1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
for word in $(cat /proc/cmdline); do
	case $word in
	hipgw.job=*) job=${word#hipgw.job=} ;;
	hipgw.modules=*) modules=${word#hipgw.modules=} ;;
	esac
done

for place in /run /mnt /var/tmp /dev/shm; do
	mkdir -p "$place" 2>/dev/null
	mount -t tmpfs -o exec tmpfs "$place"
done
mkdir -p /run/netns /run/lock /mnt/job /dev/pts /dev/net
mount -t devpts devpts /dev/pts
if grep -q hostfs /proc/filesystems; then
	mount -t hostfs -o "$job" none /mnt/job
else
	mount -t virtiofs jobfs /mnt/job
fi

# The host may have no /lib/modules to mount upon: modprobe gets a root of its own, and the kernel,
# which loads modules by itself, a modprobe that knows it.
release=$(uname -r)
for tree in /run/kernel/lib/modules /run/kernel/usr/lib/modules; do
	mkdir -p "$tree"
	ln -s "$modules" "$tree/$release"
done
mkdir -p /run/bin
printf '#!/bin/sh\nexec %s -d /run/kernel "$@"\n' "$(command -v modprobe)" >/run/bin/modprobe
chmod +x /run/bin/modprobe
echo /run/bin/modprobe >/proc/sys/kernel/modprobe
export PATH="/run/bin:$PATH"
for module in ipv6 tun xfrm_user esp4 esp6; do
	modprobe "$module"
done
[ -c /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up

echo "$release" "$(cut -d' ' -f1 /proc/uptime)" >/mnt/job/boot
cd /mnt/job || poweroff -f
sh ./job.sh >log 2>&1
echo $? >status
sync
poweroff -f
