/** The Debian packages that each command of package.json needs, with the reason for each group. Plain Node. */

/** What a node needs to run VMs. The same list is the package's Depends. */
export const runtimePackages = [
	"qemu-system-x86", // the hypervisor
	"qemu-utils", // qemu-img
	"qemu-block-extra", // RBD in QEMU
	"ceph-common", // rbd, rados, ceph: pools of type ceph-rbd
	"libvirt-daemon-system", // libvirtd, virtlogd
	"libvirt-clients",
	"ovmf", // UEFI firmware
	"swtpm", // TPM 2.0 emulator
	"swtpm-tools",
	"dnsmasq-base", // DHCP of NAT networks
	"nftables",
	"iptables",
	"iproute2",
	"util-linux", // prlimit, unshare
	"xorriso",
	"nfs-common", // NFS pools: mount.nfs, showmount
];

/** What builds the small demo guest, which is also the guest of the tests. */
export const demoPackages = ["mtools", "dosfstools", "syslinux", "e2fsprogs", "fdisk"];

/** What the tests use beside it. */
export const testPackages = [
	"chromium", // browser tests
	"cloud-init", // cloud-init schema
	"libxml2-utils", // virt-xml-validate
	"prometheus", // promtool
	"busybox-static",
	"bindfs", // a file system that hangs
	...["ceph-mon", "ceph-mgr", "ceph-osd"], // a cluster of one node
	"curl",
	"file",
	"libnbd-bin", // nbdinfo
	"nasm", // the guest that is one boot sector
	"lvm2", // its metadata, without device-mapper
	"openssl",
	"procps",
	"python3-yaml",
	"xfsprogs", // a file system whose files share blocks
	"strace", // disks that hang, and syncs that fail
	"xz-utils", // kernel modules of the storage lab VM
];

/** Peers that the benchmark measures against. */
export const benchPackages = ["websockify", "etcd-server", "procps"];

/** @param {string} command one of package.json's scripts */
export function packagesFor(command) {
	switch (command) {
		case "start":
			return [...runtimePackages, ...demoPackages];
		case "check":
		case "test":
		case "test:lab":
			return [...runtimePackages, ...demoPackages, ...testPackages];
		case "soak":
			return runtimePackages;
		case "bench":
			return [...runtimePackages, ...demoPackages, ...benchPackages];
		default:
			return [];
	}
}
