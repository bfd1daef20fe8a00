import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { buildGuestImage, guestReadyLine } from "../../testing/lab/guest-image.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { hypervisorConformance } from "../conformance.ts";
import { withDisk } from "../test-domain.ts";
import { startLab } from "./lab.ts";

const cacheDir = resolve(import.meta.dir, "../../../.cache");
const bootLimitMs = 90_000;

hypervisorConformance("libvirt with QEMU (TCG)", {
	limitMs: 30_000,
	cannot: {},
	open: async () => {
		const image = await buildGuestImage({ cacheDir });
		const lab = await startLab({ name: "conform" });
		const bridge = "br-conform";
		await lab.libvirtd.runInNamespace("ip", ["link", "add", bridge, "type", "bridge"]);
		await lab.libvirtd.runInNamespace("ip", ["link", "set", bridge, "up"]);
		return {
			driver: lab.driver,
			folder: lab.vmFolder,
			makeDisk: lab.makeDisk,
			bridge,
			async withGuest(domain) {
				const path = join(lab.folder, `${domain.name}.qcow2`);
				const backing = ["-b", image.qcow2Path, "-F", "qcow2"];
				await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, "--", path], { timeoutMs: 10_000 });
				const spec = { ...domain.spec, memory: { sizeBytes: 256 * MiB, maxSizeBytes: 512 * MiB } };
				const chain = { backing: [{ path: image.qcow2Path, format: "qcow2" as const }] };
				return withDisk({ ...domain, spec }, "disk-guest", path, {}, chain);
			},
			async guestReady(id) {
				const log = join(lab.folder, "vms", id, "serial.log");
				await waitUntil("the guest to be up", bootLimitMs, () =>
					existsSync(log) ? readFileSync(log, "utf8").includes(guestReadyLine) : undefined,
				);
			},
			close: lab.close,
		};
	},
});
