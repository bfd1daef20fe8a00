/**
 * The file of a unix socket: who listens behind it, and whose it is. A node that has ended without a farewell leaves
 * its file, which is replaced; the file of a node that lives is never taken away, neither at the start of another one
 * nor at its end.
 */
import { type BigIntStats, lstatSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { AppError } from "../lib/errors.ts";

const connectLimitMs = 5000;

/** What tells one socket file from another of the same name. */
export type SocketFile = Readonly<{ path: string; device: bigint; inode: bigint; changedNs: bigint }>;

/**
 * Makes room for a socket at `path`: removes one that nobody listens on. `in-use` when somebody does, or when it
 * cannot be found out; `invalid` when something else has that name.
 */
export async function makeRoomForSocket(path: string): Promise<void> {
	const found = stat(path);
	if (!found) return;
	if (!found.isSocket()) throw new AppError("invalid", `${path} is in the way: it is no socket.`);
	const failure = await connectionFailure(path);
	if (failure === "ENOENT") return;
	if (failure !== "ECONNREFUSED")
		throw new AppError("in-use", `Another node uses the run folder: somebody listens on ${path}.`, {
			context: { path, failure },
		});
	unlinkSync(path);
}

/** The socket at `path`, to be called right after it was made. */
export function socketFile(path: string): SocketFile {
	const found = stat(path);
	if (!found) throw new AppError("unavailable", `The socket ${path} is gone as soon as it was made.`);
	return identityOf(path, found);
}

/** Removes the file if it is still the one that was made. */
export function removeOwnSocket(own: SocketFile): void {
	const found = stat(own.path);
	if (!found) return;
	const { device, inode, changedNs } = identityOf(own.path, found);
	// A file system may give the number of a file that went to the next one; the times tell them apart.
	if (device === own.device && inode === own.inode && changedNs === own.changedNs) unlinkSync(own.path);
}

const stat = (path: string): BigIntStats | undefined => lstatSync(path, { bigint: true, throwIfNoEntry: false });

const identityOf = (path: string, { dev, ino, ctimeNs }: BigIntStats): SocketFile => ({
	path,
	device: dev,
	inode: ino,
	changedNs: ctimeNs,
});

/** Null when somebody accepts; else the code of the error ("ECONNREFUSED": nobody is there). */
function connectionFailure(path: string): Promise<string | null> {
	return new Promise((resolve) => {
		const socket = connect({ path });
		const end = (outcome: string | null) => {
			clearTimeout(timer);
			socket.destroy();
			resolve(outcome);
		};
		const timer = setTimeout(() => end("ETIMEDOUT"), connectLimitMs);
		socket.on("connect", () => end(null));
		socket.on("error", (error: NodeJS.ErrnoException) => end(error.code ?? "unknown"));
	});
}
