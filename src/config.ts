/** Settings of the daemon: flags over environment over /etc/limiquantix/config.toml over defaults, one frozen object. */

export type Config = {
	dataDir: string;
	runDir: string;
	/** host:port of UI and API; null port 0 means any. */
	listen: { host: string; port: number };
	peerListen: { host: string; port: number };
	/** libvirt's own form. */
	libvirtUri: string;
	/** Serve plain HTTP; only accepted on loopback. */
	insecureHttp: boolean;
	logLevel: "debug" | "info" | "warn" | "error";
	logFormat: "json" | "text";
	/** Name for a new node (default: the host's name). */
	nodeName: string | null;
	/** The demo VM's disk image, when there is one. */
	demoImage: string | null;
	/** Skip the probe and use this; null probes. */
	accelerator: "kvm" | "tcg" | null;
	/** Folder of the default pool (default: dataDir/pools/local). */
	defaultPoolPath: string | null;
	/** fsync of the Raft log; only tests switch it off. */
	fsync: boolean;
};
