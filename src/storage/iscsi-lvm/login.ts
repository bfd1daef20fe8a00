/**
 * Asks a target whether a login would do, and a portal which targets it offers, over a connection of our own: the kernel and open-iscsi know
 * nothing of it. So no password is written to a disk for it, nothing is left of it when this process ends, and sessions that are in use
 * are not touched: it has an ISID of its own (RFC 7143, 4.4.3), and a try ends before it becomes a session.
 */
import { connect, type Socket } from "node:net";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Random } from "../../lib/random.ts";
import { type Chap, type DiscoveredTarget, parseTargetKeys } from "./iscsi-text.ts";
import { answerChallenge, type ChapAnswer, chapAlgorithm } from "./login-chap.ts";
import {
	type Counters,
	followingBytes,
	headerBytes,
	type Keys,
	loginRequest,
	logoutRequest,
	maxDataBytes,
	noTag,
	notUnderstood,
	opcodes,
	type Pdu,
	parseKeys,
	parsePdu,
	textFor,
	textRequest,
} from "./login-pdu.ts";
import { type Portal, parsePortal, portalText } from "./names.ts";

/** A whole conversation, redirections included. */
const usualLimitMs = 10_000;
const maxRounds = 12;
const maxTextRounds = 256;
const maxTextBytes = 4 * 1024 * 1024;
const maxRedirections = 3;

export type LoginAsk = {
	portal: Portal;
	/** This node's iSCSI name. */
	initiator: string;
	chap: Chap | null;
	random: Random;
	/** Default 10 s. */
	limitMs?: number;
};

/**
 * Fails with `storage` as the login of a session would, or with `timeout`; `context.refused` is true when the target does not let in
 * whoever has this name and this password, or could not prove itself.
 */
export function tryLogin(ask: LoginAsk & { target: string }): Promise<void> {
	const first: Keys = [
		["TargetName", ask.target],
		["SessionType", "Normal"],
	];
	const what = `logging in to ${ask.target} at ${portalText(ask.portal)}`;
	return conversation(ask, what, (wire) => authenticate(wire, ask, first, ask.chap?.mutual ? ["CHAP"] : undefined));
}

/** What the portal offers to this node. */
export function sendTargets(ask: LoginAsk): Promise<DiscoveredTarget[]> {
	return conversation(ask, `asking ${portalText(ask.portal)} for its targets`, async (wire) => {
		// Many portals ask for no password here: whether a target can prove itself shows when it is logged in to.
		await authenticate(wire, ask, [["SessionType", "Discovery"]]);
		await operational(wire);
		const keys = await allTargets(wire);
		await wire.send(logoutRequest(wire.next()));
		await wire.receive(opcodes.logoutResponse).catch(() => {});
		return parseTargetKeys(keys, ask.portal);
	});
}

async function conversation<T>(ask: LoginAsk, what: string, work: (wire: Wire) => Promise<T>): Promise<T> {
	const deadline = performance.now() + (ask.limitMs ?? usualLimitMs);
	let { portal } = ask;
	for (let times = 0; ; times++) {
		const wire = new Wire(portal, deadline - performance.now(), ask.random);
		try {
			return await work(wire);
		} catch (error) {
			if (!isAppError(error)) throw error;
			const { redirectedTo } = error.context;
			if (typeof redirectedTo !== "string" || times === maxRedirections)
				throw new AppError(error.code, `iSCSI, ${what}: ${error.message}.`, { context: error.context, cause: error });
			try {
				portal = parsePortal(redirectedTo);
			} catch (cause) {
				throw new AppError("storage", `iSCSI, ${what}: the target sends this node to no portal.`, { cause });
			}
		} finally {
			wire.end();
		}
	}
}

/** The security stage. Over when the target goes on to the next. */
async function authenticate(
	wire: Wire,
	{ initiator, chap, random }: LoginAsk,
	first: Keys,
	methods = chap === null ? ["None"] : ["CHAP", "None"],
): Promise<void> {
	const names: Keys = [["InitiatorName", initiator], ...first, ["AuthMethod", methods.join(",")]];
	// A target that has to prove itself may not be left before it has.
	let answer = await wire.login(0, methods.includes("None") ? 1 : null, names);
	let proof: ChapAnswer | null = null;
	let said: Keys = [];
	for (let round = 0; round < maxRounds; round++) {
		const method = textFor(answer.keys, "AuthMethod");
		if (method !== null && !methods.includes(method))
			throw problem("the target takes none of the ways to log in that this node offers (CHAP, or no password)", true);
		if (proof !== null) said = [...said, ...answer.keys];
		if (textFor(answer.keys, "CHAP_C") !== null && proof === null && chap !== null) {
			proof = answerChallenge(answer.keys, chap, random);
			answer = await wire.login(0, 1, proof.keys);
		} else if (answer.isLast) {
			if (proof !== null && !proof.proves(said))
				throw problem("the target could not prove that it is the right one (CHAP)", true);
			if (proof === null && !methods.includes("None")) throw notUnderstood();
			return;
		} else
			answer = await wire.login(0, method === "CHAP" ? null : 1, method === "CHAP" ? [["CHAP_A", chapAlgorithm]] : []);
	}
	throw notUnderstood();
}

/** To the full feature phase. */
async function operational(wire: Wire): Promise<void> {
	const keys: Keys = [
		["HeaderDigest", "None"],
		["DataDigest", "None"],
		["MaxRecvDataSegmentLength", `${maxDataBytes}`],
		["DefaultTime2Wait", "2"],
		["DefaultTime2Retain", "0"],
		["ErrorRecoveryLevel", "0"],
	];
	let answer = await wire.login(1, 3, keys);
	for (let round = 0; !answer.isLast; round++) {
		if (round === maxRounds) throw notUnderstood();
		answer = await wire.login(1, 3, []);
	}
}

async function allTargets(wire: Wire): Promise<Keys> {
	const parts: Uint8Array[] = [];
	let bytes = 0;
	await wire.send(textRequest(wire.next(), [["SendTargets", "All"]], null));
	for (let round = 0; round < maxTextRounds; round++) {
		const answer = await wire.receive(opcodes.textResponse);
		parts.push(answer.data);
		bytes += answer.data.length;
		if (bytes > maxTextBytes) throw notUnderstood();
		if (answer.isLast && answer.transferTag === noTag) return parseKeys(Buffer.concat(parts));
		await wire.send(textRequest(wire.next(), [], answer));
	}
	throw notUnderstood();
}

type LoginAnswer = { keys: Keys; isLast: boolean };

/** One connection. What comes is taken in whole PDUs; it ends at its deadline, whatever the other side does. */
class Wire {
	readonly #socket: Socket;
	readonly #timer: ReturnType<typeof setTimeout>;
	readonly #counters: Counters;
	#received = Buffer.alloc(0);
	#failed: AppError | null = null;
	#wake: (() => void) | null = null;

	constructor({ host, port }: Portal, forMs: number, random: Random) {
		// Type "random": no session of the kernel has such a one.
		const isid = Uint8Array.from([0x80, ...random.bytes(5)]);
		this.#counters = { isid, tag: 0, cmdSn: 1, expStatSn: 0 };
		this.#socket = connect({ host, port, noDelay: true });
		this.#timer = setTimeout(
			() => this.#fail(new AppError("timeout", "there was no answer in time")),
			Math.max(0, forMs),
		);
		this.#socket.on("data", (chunk: Uint8Array) => {
			this.#received = Buffer.concat([this.#received, chunk]);
			// More than any PDU is never waited for.
			if (this.#received.length > 4 * maxDataBytes) this.#fail(notUnderstood());
			this.#wake?.();
		});
		this.#socket.on("error", (cause) => this.#fail(new AppError("storage", "the portal cannot be reached", { cause })));
		this.#socket.on("close", () => this.#fail(problem("the target has ended the connection")));
	}

	#fail(error: AppError): void {
		this.#failed ??= error;
		this.#socket.destroy();
		this.#wake?.();
	}

	end(): void {
		clearTimeout(this.#timer);
		this.#fail(problem("the conversation has ended"));
	}

	/** For a request that counts. */
	next(): Counters {
		this.#counters.tag += 1;
		const now = { ...this.#counters };
		this.#counters.cmdSn += 1;
		return now;
	}

	async send(bytes: Uint8Array): Promise<void> {
		if (this.#failed) throw this.#failed;
		this.#socket.write(bytes);
	}

	/** One request of the login phase, and all of what is said to it. */
	async login(stage: 0 | 1, next: 1 | 3 | null, keys: Keys): Promise<LoginAnswer> {
		const parts: Uint8Array[] = [];
		await this.send(loginRequest(this.#counters, stage, next, keys));
		for (let round = 0; round < maxRounds; round++) {
			const answer = await this.receive(opcodes.loginResponse);
			const status = answer.status;
			if (status.startsWith("01")) {
				const to = textFor(parseKeys(answer.data), "TargetAddress")?.replace(/,[0-9]+$/, "");
				throw new AppError("storage", "the target sends this node from portal to portal", {
					context: { redirectedTo: to },
				});
			}
			if (status !== "0000") throw statusError(status);
			parts.push(answer.data);
			if (!answer.continues) return { keys: parseKeys(Buffer.concat(parts)), isLast: answer.isLast };
			await this.send(loginRequest(this.#counters, stage, null, []));
		}
		throw notUnderstood();
	}

	/** The next PDU of this kind; what a target says unasked is passed over. */
	async receive(opcode: number): Promise<Pdu> {
		for (let round = 0; round < maxTextRounds; round++) {
			const header = await this.#take(headerBytes);
			const { ahs, data, padded } = followingBytes(header);
			const rest = await this.#take(ahs + padded);
			const pdu = parsePdu(header, rest.subarray(ahs, ahs + data));
			this.#counters.expStatSn = (pdu.statSn + 1) >>> 0;
			if (pdu.opcode === opcode) return pdu;
			const unasked = [0x20, 0x32];
			if (!unasked.includes(pdu.opcode)) throw notUnderstood();
		}
		throw notUnderstood();
	}

	async #take(length: number): Promise<Buffer> {
		while (this.#received.length < length) {
			if (this.#failed) throw this.#failed;
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
		const taken = this.#received.subarray(0, length);
		this.#received = this.#received.subarray(length);
		return taken;
	}
}

/** What goes into a sentence. `refused`: by the target, for who this node is or says it is. */
const problem = (why: string, refused = false): AppError =>
	new AppError("storage", why, { context: refused ? { refused } : {} });

/** RFC 7143, 11.13.5. */
function statusError(status: string): AppError {
	if (status === "0201") return problem("the target refused the name or the password (CHAP)", true);
	if (status === "0202") return problem("the target does not let this node in", true);
	if (status === "0203" || status === "0204") return problem("there is no such target");
	if (status.startsWith("03")) return problem("the target cannot take a login now");
	return problem(`the target refused the login (status ${status})`);
}
