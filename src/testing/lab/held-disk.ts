/** A QEMU (its storage daemon) that has a disk open for writing, as that of a running VM has. */
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VolumeFormat } from "../../model/storage.ts";
import { newId } from "../../storage/conformance.ts";
import { waitUntil } from "./wait-until.ts";

export type HeldDisk = AsyncDisposable;

/** `user`: who it is, where files are not root's. */
export async function holdOpen(
	path: string,
	format: VolumeFormat,
	user: { uid: number; gid: number } | null = null,
): Promise<HeldDisk> {
	const ready = join(tmpdir(), `limiquantix-held-${newId()}.pid`);
	const child = Bun.spawn(
		[
			...(user ? ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"] : []),
			"qemu-storage-daemon",
			...["--blockdev", `driver=file,node-name=file,filename=${path}`],
			...["--blockdev", `driver=${format},node-name=disk,file=file`],
			...["--export", `type=vhost-user-blk,id=e,node-name=disk,writable=on,addr.type=unix,addr.path=${ready}.sock`],
			...["--pidfile", ready],
		],
		{ stdout: "ignore", stderr: "pipe" },
	);
	await waitUntil("qemu-storage-daemon to have the disk", 10_000, async () => {
		if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
		return await Bun.file(ready).exists();
	});
	return {
		async [Symbol.asyncDispose]() {
			child.kill();
			await child.exited;
			for (const file of [ready, `${ready}.sock`]) await rm(file, { force: true });
		},
	};
}
