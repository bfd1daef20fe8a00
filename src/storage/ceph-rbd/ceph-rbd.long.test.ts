/** The ceph-rbd driver passes the same suite as the others, on real daemons. Needs root. */
import { setDefaultTimeout } from "bun:test";
import { useCeph } from "../../testing/lab/ceph-pool.ts";
import { storageConformance } from "../conformance.ts";
import { hostFilesIn } from "../local/testing/local-pool.ts";
import { cephRbdCapabilities } from "./capabilities.ts";

// Each step is a program that connects to the cluster, and a runner that gives up takes the cluster along.
setDefaultTimeout(60_000);
const session = useCeph();

storageConformance({
	name: "ceph-rbd",
	capabilities: cephRbdCapabilities,
	decodesQcow2: true,
	adoptsFiles: "a Ceph pool holds no files",
	foreignNames: [
		"debian-12",
		"line\nbreak",
		"'single' \"double\" $HOME {}",
		"lqx-vol-1",
		"\u202egpj.exe",
		"x".repeat(96),
	],
	hasFolders: "a Ceph pool has no folders",
	keepsUploads: "they grow in a folder of the node",
	async open() {
		const pool = await session.pool();
		const open = () => pool.open();
		return {
			driver: await open(),
			reopen: open,
			writeDisk: pool.writeDisk,
			...hostFilesIn(pool.folder),
			placeForeign: (name) => pool.placeForeign(String(name)),
			close: () => pool.close(),
		};
	},
});
