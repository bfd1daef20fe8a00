/** The NBD server as others see it: nbdinfo (libnbd), qemu-io and qemu-img. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Random } from "../simulation/random.ts";
import { type NbdServer, startNbdServer } from "./nbd-server.ts";
import { VolatileDisk } from "./volatile-disk.ts";

const limit = { timeoutMs: 20_000 };

type Served = { disk: VolatileDisk; server: NbdServer; uri: string; folder: string };

async function served(action: (served: Served) => Promise<void>): Promise<void> {
	const folder = mkdtempSync("/tmp/lqx-nbd-");
	const basePath = join(folder, "base");
	writeFileSync(basePath, "");
	truncateSync(basePath, 64 * MiB);
	const disk = new VolatileDisk(basePath);
	const server = await startNbdServer(disk, join(folder, "socket"));
	try {
		await action({ disk, server, folder, uri: `nbd+unix:///?socket=${server.socketPath}` });
	} finally {
		await server.close();
		disk.close();
		rmSync(folder, { recursive: true });
	}
}

/** Runs qemu-io with these commands; what it said, and its exit code. */
const qemuIo = (uri: string, ...commands: string[]) =>
	run("qemu-io", ["-f", "raw", ...commands.flatMap((command) => ["-c", command]), uri], {
		...limit,
		okExitCodes: [0, 1],
	});

test("libnbd negotiates it and sees size, flags and block sizes", () =>
	served(async ({ uri }) => {
		for (const list of [[], ["--list"]]) {
			const { stdout } = await run("nbdinfo", ["--json", ...list, uri], limit);
			const seen = JSON.parse(stdout) as { protocol: string; exports: Record<string, unknown>[] };
			expect(seen.protocol).toBe("newstyle-fixed");
			expect(seen.exports[0]).toMatchObject({
				...{ "export-name": "", "export-size": 64 * MiB, is_read_only: false },
				...{ can_flush: true, can_fua: true, can_zero: true, can_trim: false, can_multi_conn: false },
				...{ block_size_minimum: 512, block_size_preferred: 4096, block_size_maximum: 32 * MiB },
			});
		}
	}));

test("an export that is not there is refused", () =>
	served(async ({ server }) => {
		const unknown = run("nbdinfo", [`nbd+unix:///other?socket=${server.socketPath}`], limit);
		await expect(unknown).rejects.toThrow();
		const { stdout } = await run("nbdinfo", ["--size", `nbd+unix:///?socket=${server.socketPath}`], limit);
		expect(stdout.trim()).toBe(String(64 * MiB));
	}));

test("qemu-io reads what it wrote: small, unaligned, large, zeros", () =>
	served(async ({ uri, server }) => {
		const { exitCode, stdout } = await qemuIo(
			uri,
			...["write -P 0xaa 1000 3000", "write -P 0xbb 1M 9M", "write -z 4M 1M", "flush"],
			...["read -P 0xaa 1000 3000", "read -P 0xbb 1M 3M", "read -P 0 4M 1M", "read -P 0xbb 5M 5M", "read -P 0 10M 54M"],
		);
		expect(stdout).not.toContain("failed");
		expect(exitCode).toBe(0);
		expect(server.counts.flushes).toBeGreaterThan(0);
	}));

test("a whole image is copied in and out and is the same", () =>
	served(async ({ uri, folder }) => {
		const source = join(folder, "source");
		const random = new Random(7);
		writeFileSync(
			source,
			Uint8Array.from({ length: 3 * MiB }, () => random.word() & 255),
		);
		truncateSync(source, 64 * MiB);
		await run("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", source, uri], limit);
		const { stdout } = await run("qemu-img", ["compare", "-f", "raw", "-F", "raw", source, uri], limit);
		expect(stdout).toContain("Images are identical.");
	}));

test("a cut keeps what was flushed or written through, of the rest some, and answers nobody any more", () =>
	served(async ({ uri, server, disk, folder }) => {
		let late = 0;
		server.onWrite = () => {
			late += 1;
		};
		const stop = new AbortController();
		// qemu-io flushes when it ends: it is kept from ending by a command that waits for input.
		const commands = ["write -P 0x11 0 1M", "flush", "write -P 0x22 0 1M", "write -f -P 0x33 2M 4k", "sleep 15000"];
		const writing = run(
			"qemu-io",
			["-t", "writeback", "-f", "raw", ...commands.flatMap((command) => ["-c", command]), uri],
			{
				...limit,
				signal: stop.signal,
			},
		).catch(() => {});
		await waitUntil("the last write", 15_000, () => late === 3);
		server.freeze();
		const report = disk.cut(new Random(3));
		expect(report.unflushed).toBe(1);
		const asked = connect(server.socketPath);
		let said = 0;
		asked.on("data", (bytes: Buffer) => {
			said += bytes.length;
		});
		await new Promise<void>((resolve) => asked.once("connect", () => resolve()));
		stop.abort();
		await writing;
		expect(said).toBe(0);
		asked.destroy();

		disk.powerOn();
		const again = await startNbdServer(disk, join(folder, "again"));
		try {
			const sectors = Buffer.from(disk.read(0, MiB));
			const kinds = new Set(Array.from({ length: 2048 }, (_, at) => sectors[at * 512]));
			expect([...kinds].every((kind) => kind === 0x11 || kind === 0x22)).toBe(true);
			const { exitCode } = await qemuIo(`nbd+unix:///?socket=${again.socketPath}`, "read -P 0x33 2M 4k");
			expect(exitCode).toBe(0);
		} finally {
			await again.close();
		}
	}));

test("garbage ends its own connection and no other", () =>
	served(async ({ uri, server }) => {
		const rude = connect(server.socketPath);
		const ended = new Promise<void>((resolve) => rude.on("close", () => resolve()));
		rude.on("error", () => {}).resume();
		rude.write(Buffer.alloc(256, 0xee));
		await ended;
		const { exitCode } = await qemuIo(uri, "write -P 1 0 4k", "read -P 1 0 4k");
		expect(exitCode).toBe(0);
	}));

test("what lies beyond the end is refused", () =>
	served(async ({ server }) => {
		const socket = connect(server.socketPath);
		const received: Buffer[] = [];
		socket.on("data", (bytes: Buffer) => received.push(bytes));
		const bytesOf = (count: number) =>
			waitUntil(`${count} bytes`, 5_000, () => {
				const all = Buffer.concat(received);
				return all.length >= count ? all : undefined;
			});
		await bytesOf(18);
		// Fixed newstyle without the zeros; then the default export by its empty name.
		socket.write(Buffer.from([0, 0, 0, 3, ...Buffer.from("IHAVEOPT"), 0, 0, 0, 1, 0, 0, 0, 0]));
		await bytesOf(18 + 10);
		const request = (kind: number, offset: number, length: number): Buffer => {
			const header = Buffer.alloc(28);
			header.writeUInt32BE(0x25609513);
			header.writeUInt16BE(kind, 6);
			header.writeBigUInt64BE(BigInt(offset), 16);
			header.writeUInt32BE(length, 24);
			return header;
		};
		socket.write(request(0, 64 * MiB, 512));
		socket.write(Buffer.concat([request(1, 64 * MiB - 512, 1024), Buffer.alloc(1024)]));
		socket.write(request(0, 100, 512));
		socket.write(request(9, 0, 512));
		const all = await bytesOf(28 + 4 * 16);
		const errors = [0, 1, 2, 3].map((at) => all.readUInt32BE(28 + at * 16 + 4));
		expect(errors).toEqual([22, 28, 22, 22]);
		socket.destroy();
	}));
