/**
 * Pools on a server whose file system runs full, in the middle of whatever they do. What the client writes it keeps for a while, so that
 * there is no space is often told with the last byte only, or when the file is flushed or closed.
 */
import { expect, test } from "bun:test";
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { exportRoot, share, startServer, unshare } from "../../testing/lab/nfs/kernel-server.ts";
import { exportOptions, nfsDriver, nfsMounts, runFolder } from "../../testing/lab/nfs/nfs-pool.ts";
import { newId } from "../conformance.ts";
import { makeFolders } from "../local/pool-place.ts";
import { fullInTheMiddle, fullWhileSettingAside } from "../local/testing/full-pool.ts";
import { smallFileSystem } from "../local/testing/small-file-system.ts";
import { qemuUser } from "./qemu-user.ts";

const limitMs = 400_000;
// As the service has it: what others must pass through is opened by name.
process.umask(0o077);

for (const { version, squash } of [
	{ version: "4.2", squash: true },
	{ version: "4.2", squash: false },
] as const)
	test(
		`NFS ${version}, root ${squash ? "squashed" : "as it is"}: no-space, nothing left behind, and on when there is room`,
		async () => {
			await makeFolders(runFolder);
			const folder = await mkdtemp(join(exportRoot, "full-"));
			await chmod(folder, 0o711);
			const name = newId();
			await using fileSystem = await smallFileSystem(folder, name, "ext4");
			const user = squash ? await qemuUser() : null;
			const root = join(fileSystem.path, "pool");
			await mkdir(root);
			if (user) for (const path of [fileSystem.path, root]) await chown(path, user.uid, user.gid);
			await startServer();
			const path = `/${basename(folder)}/${name}`;
			await share({ path, options: exportOptions(squash) });
			const driver = nfsDriver(path, { version, folder: "pool" });
			try {
				await driver.activate();
				const pool = { driver, fileSystem, root, folder, user };
				await fullInTheMiddle(pool);
				await fullWhileSettingAside(pool);
				await driver.remove();
				expect(await readdir(fileSystem.path)).not.toContain(basename(root));
				expect(await nfsMounts()).toEqual([]);
			} finally {
				await driver.deactivate();
				await unshare(path);
			}
			await rm(join(folder, `${name}.img`), { force: true });
		},
		limitMs,
	);
