/** What somebody would type who keeps disks as qcow2 files. */
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import type { BareTool } from "./driver-rounds.ts";

const limit = { timeoutMs: 600_000 };

/** qcow2 files in one folder; a snapshot is what external snapshots are: a new file over the old one. */
export function qemuImgIn(folder: string): BareTool {
	const path = (name: string) => join(folder, `${name}.qcow2`);
	const overlay = async (from: string, to: string) => {
		const backing = ["-F", "qcow2", "-b", path(from)];
		await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, "--", path(to)], limit);
	};
	return {
		create: async (name, bytes) => {
			await run("qemu-img", ["create", "-q", "-f", "qcow2", "--", path(name), `${bytes}`], limit);
		},
		clone: overlay,
		snapshot: (name, snapshot) => overlay(name, `${name}-${snapshot}`),
		delete: async (name) => {
			await run("rm", ["-f", "--", path(name), path(`${name}-one`)], limit);
		},
	};
}
