/**
 * An iSCSI target that lets in who knows the password, says which targets there are, and has no disks: for what a real one seldom does.
 * Real ones are asked in the storage lab VM. Written from RFC 7143 without the code under test.
 */
import { createHash } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import type { Portal } from "../names.ts";

export type FakeTargetOptions = {
	user?: string;
	password?: string;
	/** With which it proves itself. */
	own?: { user: string; password: string };
	/** Pairs that it answers to SendTargets; in PDUs of so many bytes. */
	targets?: string[];
	partBytes?: number;
	redirectTo?: string;
	/** Instead of an answer; null: nothing at all. */
	says?: Uint8Array | null;
};

export type FakeTarget = AsyncDisposable & {
	portal: Portal;
	/** Keys of all requests so far. */
	heard: Map<string, string>[];
	/** Somebody has come. */
	connected: Promise<void>;
	/** Logins that came to the full feature phase. */
	sessions(): number;
};

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`;
const md5 = (id: number, secret: string, challenge: Buffer): string =>
	hex(
		createHash("md5")
			.update(Buffer.from([id]))
			.update(Buffer.from(secret))
			.update(challenge)
			.digest(),
	);

export async function fakeTarget(options: FakeTargetOptions = {}): Promise<FakeTarget> {
	const heard: Map<string, string>[] = [];
	const sockets = new Set<Socket>();
	const connected = Promise.withResolvers<void>();
	let sessions = 0;
	const server: Server = createServer((socket) => {
		sockets.add(socket);
		connected.resolve();
		socket.on("error", () => {});
		if (options.says !== undefined) {
			if (options.says) socket.end(options.says);
			return;
		}
		serve(socket, options, heard, () => {
			sessions += 1;
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	if (address === null || typeof address === "string") throw new Error("no port");
	return {
		...{
			portal: { host: "127.0.0.1", port: address.port },
			heard,
			connected: connected.promise,
			sessions: () => sessions,
		},
		async [Symbol.asyncDispose]() {
			for (const socket of sockets) socket.destroy();
			await new Promise<void>((resolve) => server.close(() => resolve()));
		},
	};
}

function serve(socket: Socket, options: FakeTargetOptions, heard: Map<string, string>[], session: () => void): void {
	const { user, password, own, targets = [], partBytes = 1024, redirectTo } = options;
	const challenge = Buffer.from("00112233445566778899aabbccddeeff", "hex");
	let [stat, pending, rest] = [100, Buffer.alloc(0), Buffer.alloc(0)];

	const answer = (
		request: Buffer,
		opcode: number,
		flags: number,
		data: Buffer,
		more: { status?: number; ttt?: number } = {},
	) => {
		const pdu = Buffer.alloc(48 + data.length + ((4 - (data.length % 4)) % 4));
		pdu[0] = opcode;
		pdu[1] = flags;
		pdu.writeUIntBE(data.length, 5, 3);
		request.copy(pdu, 8, 8, 14);
		request.copy(pdu, 16, 16, 20);
		pdu.writeUInt32BE(more.ttt ?? 0, 20);
		pdu.writeUInt32BE(stat++, 24);
		pdu.writeUInt16BE(more.status ?? 0, 36);
		data.copy(pdu, 48);
		socket.write(pdu);
	};
	const login = (request: Buffer, flags: number, pairs: string[] = []) =>
		answer(request, 0x23, flags, Buffer.from(pairs.map((pair) => `${pair}\0`).join("")));
	const refuse = (request: Buffer, status: number, pairs: string[] = []) => {
		answer(request, 0x23, 0, Buffer.from(pairs.map((pair) => `${pair}\0`).join("")), { status });
		socket.end();
	};

	function onLogin(request: Buffer, keys: Map<string, string>): void {
		const [transit, stage] = [(request[1] ?? 0) & 0x80, ((request[1] ?? 0) >> 2) & 3];
		const methods = keys.get("AuthMethod")?.split(",");
		const wanted = password === undefined ? "None" : "CHAP";
		if (redirectTo !== undefined) refuse(request, 0x0101, [`TargetAddress=${redirectTo},1`]);
		else if (stage === 1) {
			session();
			login(request, 0x87, ["HeaderDigest=None", "DataDigest=None"]);
		} else if (methods && !methods.includes(wanted)) refuse(request, wanted === "None" ? 0x0200 : 0x0201);
		else if (methods) login(request, wanted === "None" ? 0x81 : 0, ["TargetPortalGroupTag=1", `AuthMethod=${wanted}`]);
		else if (keys.has("CHAP_A")) login(request, 0, ["CHAP_A=5", "CHAP_I=7", `CHAP_C=${hex(challenge)}`]);
		else if (!transit || keys.get("CHAP_N") !== user || keys.get("CHAP_R") !== md5(7, password ?? "", challenge))
			refuse(request, 0x0201);
		else login(request, 0x81, proofFor(keys));
	}

	function proofFor(keys: Map<string, string>): string[] {
		const asked = keys.get("CHAP_C");
		if (asked === undefined || !own) return [];
		const proof = md5(Number(keys.get("CHAP_I")), own.password, Buffer.from(asked.slice(2), "hex"));
		return [`CHAP_N=${own.user}`, `CHAP_R=${proof}`];
	}

	function onText(request: Buffer, keys: Map<string, string>): void {
		if (keys.get("SendTargets") === "All") rest = Buffer.from(targets.map((pair) => `${pair}\0`).join(""));
		const part = rest.subarray(0, partBytes);
		rest = rest.subarray(partBytes);
		answer(request, 0x24, rest.length > 0 ? 0x40 : 0x80, part, { ttt: rest.length > 0 ? 5 : 0xffff_ffff });
	}

	socket.on("data", (chunk: Uint8Array) => {
		pending = Buffer.concat([pending, chunk]);
		while (pending.length >= 48) {
			const length = pending.readUIntBE(5, 3);
			const end = 48 + length + ((4 - (length % 4)) % 4);
			if (pending.length < end) return;
			const request = pending.subarray(0, 48);
			const pairs = pending
				.subarray(48, 48 + length)
				.toString()
				.split("\0")
				.filter(Boolean);
			const keys = new Map(
				pairs.map((pair): [string, string] => [pair.split("=")[0] ?? "", pair.slice(pair.indexOf("=") + 1)]),
			);
			pending = pending.subarray(end);
			heard.push(keys);
			const opcode = (request[0] ?? 0) & 0x3f;
			if (opcode === 0x03) onLogin(request, keys);
			else if (opcode === 0x04) onText(request, keys);
			else answer(request, 0x26, 0x80, Buffer.alloc(0));
		}
	});
}
