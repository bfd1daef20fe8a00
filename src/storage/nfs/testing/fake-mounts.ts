/** A node on which NFS file systems are mounted and unmounted in words only; what is below their places are ordinary folders. */
import { AppError } from "../../../lib/errors.ts";
import type { RunResult } from "../../../lib/run.ts";
import type { MountHost } from "../nfs-mount.ts";

export type FakeMount = { path: string; source: string; options: string; fsType?: string; busy?: boolean };

export class FakeMounts implements MountHost {
	readonly mounts: (FakeMount & { id: number })[] = [];
	/** As they were called: "umount -c -i -- /x". */
	readonly calls: string[] = [];
	/** umount(8) waits for a server that is gone, but for what is detached. */
	serverIsGone = false;
	/** What umount(8) was told to unmount goes, although it says that it did not. */
	goesAllTheSame = false;
	openBelow: string[] = [];
	#lastId = 100;

	add(mount: FakeMount): void {
		this.mounts.push({ ...mount, id: ++this.#lastId });
	}

	async mountinfo(): Promise<string> {
		return this.mounts
			.map(
				({ id, path, source, options, fsType = "nfs4" }) =>
					`${id} 22 0:47 / ${path} rw - ${fsType} ${source} rw,${options}`,
			)
			.join("\n");
	}

	isOpenBelow = async (path: string): Promise<boolean> => this.openBelow.includes(path);

	run: MountHost["run"] = async (program, args): Promise<RunResult> => {
		this.calls.push([program, ...args].join(" "));
		if (program === "mount.nfs") {
			const [source = "", path = "", , options = ""] = args;
			this.add({ source, path, options: `vers=4.2,${options}` });
		} else this.#unmount(args.at(-1) ?? "", args.includes("-l"));
		return { exitCode: 0, stdout: "", stderr: "" };
	};

	#unmount(path: string, detach: boolean): void {
		const at = this.mounts.findLastIndex((mount) => mount.path === path);
		const failed = (stderr: string) => new AppError("internal", "umount failed", { context: { stderr } });
		if (at < 0) throw failed("not mounted");
		if (!detach && this.mounts[at]?.busy) throw failed("target is busy.");
		if (!detach && this.serverIsGone) {
			if (this.goesAllTheSame) this.mounts.splice(at, 1);
			throw new AppError("timeout", "umount did not finish.", { context: { stderr: "" } });
		}
		this.mounts.splice(at, 1);
	}
}
