/**
 * What an NFS server exports. Servers that still speak the mount protocol of NFS 3 are asked by showmount(8). Others are mounted aside at
 * the root of their NFS 4 tree, and looked through: where another file system begins is an export.
 */
import { rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import type { StorageContext } from "../registry.ts";
import { discoveryMount } from "../trial-names.ts";
import { mountOptions, mountSource } from "./mount-options.ts";
import { NfsMount } from "./nfs-mount.ts";

type DiscoverContext = Pick<StorageContext, "runFolder" | "random">;
export type NfsExport = { path: string; clients: string[] };

const askLimitMs = 8000;
const mountLimitMs = 12_000;
const lookLimitMs = 10_000;
/** More is nothing that a person chooses from, nor what a server of ours has. */
const maxExports = 1000;
const maxDepth = 5;

/** `timeout`, `unavailable` (a program is missing) or `storage` when the server does not say. */
export async function discoverNfsExports(server: string, context: DiscoverContext): Promise<NfsExport[]> {
	try {
		const options = { timeoutMs: askLimitMs, maxOutputBytes: 1024 * 1024 };
		const { stdout } = await run("showmount", ["-e", "--no-headers", "--", server], options);
		return parseExports(stdout);
	} catch (error) {
		if (!isAppError(error, "internal")) {
			if (isAppError(error, "timeout"))
				throw new AppError("timeout", `The server ${server} does not answer.`, { cause: error });
			throw error;
		}
		const words = String(error.context.stderr);
		// A server of NFS 4 alone has nobody who speaks the older protocol.
		if (/Program not registered|Port mapper failure|Connection refused|Unable to receive/.test(words))
			return lookThrough(server, context).catch((found: unknown) => {
				throw isAppError(found, "internal") ? refused(server, found) : found;
			});
		throw refused(server, error);
	}
}

/** One line an export: its path, then who may mount it. Fails with `storage` on what is none. */
export function parseExports(text: string): NfsExport[] {
	const exports: NfsExport[] = [];
	for (const line of text.split("\n")) {
		if (line.trim() === "") continue;
		const [, path, clients] = /^(\/\S*)(?:\s+(.*))?$/.exec(line.trimEnd()) ?? [];
		if (path === undefined || /[\u0000-\u001f\u007f]/.test(path) || path.length > 512 || exports.length >= maxExports)
			throw new AppError("storage", "What the server says about its exports is not understood.");
		const list = (clients ?? "").split(",").map((client) => client.trim());
		exports.push({ path, clients: list.filter((client) => client !== "" && client !== "(everyone)") });
	}
	return exports;
}

async function lookThrough(server: string, { runFolder, random }: DiscoverContext): Promise<NfsExport[]> {
	const mount = new NfsMount(discoveryMount(runFolder, random), {
		...{ source: mountSource({ server, exportPath: "/" }), limitMs: mountLimitMs },
		options: `${mountOptions({ version: null, mountOptions: [] })},ro,vers=4`,
	});
	try {
		await mount.mount();
		const { stdout } = await run(
			"find",
			[mount.path, "-maxdepth", `${maxDepth}`, "-type", "d", "-printf", "%D %P\\0"],
			// Folders that are not for us make it complain; what it found counts.
			{ timeoutMs: lookLimitMs, okExitCodes: [0, 1], maxOutputBytes: 4 * 1024 * 1024 },
		);
		return exportsIn(stdout);
	} finally {
		await mount.unmount({ busy: "detach" }).finally(() => rmdir(dirname(mount.path)).catch(() => {}));
	}
}

/** `listing`: device number and path, from the root on, each ended by a zero byte. */
export function exportsIn(listing: string): NfsExport[] {
	const devices = new Map<string, string>();
	const found: NfsExport[] = [];
	for (const entry of listing.split("\0")) {
		const space = entry.indexOf(" ");
		if (space < 0) continue;
		const [device, path] = [entry.slice(0, space), entry.slice(space + 1)];
		devices.set(path, device);
		const above = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
		const plain = !/[\u0000-\u001f\u007f]/.test(path);
		if (path !== "" && plain && devices.get(above) !== device && found.length < maxExports)
			found.push({ path: `/${path}`, clients: [] });
	}
	// One file system: the root itself is the export.
	return found.length > 0 || devices.size === 0 ? found : [{ path: "/", clients: [] }];
}

const refused = (server: string, error: AppError): AppError =>
	new AppError(
		"storage",
		`The server ${server} does not say what it exports: ${String(error.context.stderr).trim().split("\n").at(-1)?.slice(0, 200) || error.message}`,
		{ cause: error },
	);
