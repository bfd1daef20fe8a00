/**
 * The key with which the cluster's credentials are sealed. Which one it is, is in the state (its fingerprint); the key itself is a
 * file of each node, `<data dir>/secrets.key`, and in no state, snapshot or backup. The first who needs one makes it; the others ask for it
 * over the links of members, as soon as the state names one that they have not. A witness, which uses no pools, is given none.
 *
 * A key that nobody has any more (a restore onto new hosts) is replaced by the next who seals something; what was sealed with it has to
 * be entered again.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { seal, sealedWith, sealKeyBytes, sealKeyId, unseal } from "../lib/seal.ts";
import { type PoolCredentials, PoolCredentials as schema } from "../model/pool-config.ts";
import { validated } from "../model/validate.ts";
import { writeSecret } from "../peer/identity.ts";
import type { Proposer, Store } from "../store/store.ts";
import { askLinked, type LinkedPeers } from "./ask-linked.ts";
import { decodeJson, encodeJson, methods } from "./methods.ts";
import type { SecretSealer } from "./service.ts";

export type ClusterSecretsDeps = {
	dataDir: string;
	/** This member. */
	nodeId: string;
	store: Store;
	proposer: Proposer;
	/** `unavailable` while the links are not up. */
	peers: () => LinkedPeers;
	clock: Clock;
	random: Random;
	logger: Logger;
};

type Question = { keyId: string };
type Answer = { key: string | null };

const askMs = 3_000;
const fetchEveryMs = 5_000;
/** The key of now, and those that something may still be sealed with. */
const maxKeys = 4;
const encodedKey = /^[A-Za-z0-9_-]{43}$/;

export class ClusterSecrets implements SecretSealer {
	readonly #deps: ClusterSecretsDeps;
	readonly #path: string;
	#keys: Promise<Map<string, Uint8Array>> | null = null;
	/** One at a time makes or fetches one. */
	#turn: Promise<unknown> = Promise.resolve();

	constructor(deps: ClusterSecretsDeps) {
		this.#deps = deps;
		this.#path = join(deps.dataDir, "secrets.key");
	}

	/** For `sealedCredentials` of a command. Makes the cluster's key when there is none, or nobody has it any more. */
	async seal(poolId: string, credentials: PoolCredentials): Promise<string> {
		const key = await this.#inTurn(() => this.#currentKey());
		return seal(JSON.stringify(credentials), contextOf(poolId), key, this.#deps.random);
	}

	/**
	 * Null when the pool has none. `unavailable` while this node has not got the key, `corrupt` when they do not open. `sealed`: as the state
	 * has them, or had.
	 */
	async open(poolId: string, sealed = this.#deps.store.sealedCredentials(poolId)): Promise<PoolCredentials | null> {
		if (sealed === null) return null;
		const keyId = sealedWith(sealed);
		const key = (await this.#known()).get(keyId) ?? (await this.#inTurn(() => this.#fetch(keyId)));
		if (key === null)
			throw new AppError(
				"unavailable",
				"This node has not got the key of the cluster's credentials, and no other node that it reaches has it. If the cluster was restored onto new hosts, enter the credentials of the pool again.",
			);
		return validated(schema, JSON.parse(unseal(sealed, contextOf(poolId), key)), "The credentials");
	}

	/** Gets the key that the state names, as soon as it names one; until the returned function is called. */
	keepFetching(): () => void {
		const { store, clock, logger } = this.#deps;
		let ended = false;
		let timer: { cancel(): void } | null = null;
		const look = async () => {
			const keyId = store.secretsKeyId();
			if (keyId !== null && !this.#isWitness(this.#deps.nodeId) && !(await this.#known()).has(keyId))
				await this.#inTurn(() => this.#fetch(keyId));
		};
		const again = () => {
			if (ended) return;
			look()
				.catch((error) => logger.warn("the key of the cluster's credentials was not fetched", { error }))
				.finally(() => {
					if (!ended) timer = clock.schedule(fetchEveryMs, again);
				});
		};
		again();
		return () => {
			ended = true;
			timer?.cancel();
		};
	}

	/** Of another member: `asking`, as its certificate says. */
	async answer(payload: Uint8Array, asking: string): Promise<Uint8Array> {
		const { keyId } = decodeJson<Question>(payload);
		if (typeof keyId !== "string") throw new AppError("malformed", "This names no key.");
		if (this.#isWitness(asking)) throw new AppError("forbidden", "A witness uses no storage pools.");
		const key = (await this.#known()).get(keyId);
		return encodeJson({ key: key ? Buffer.from(key).toString("base64url") : null } satisfies Answer);
	}

	#isWitness = (nodeId: string): boolean => this.#deps.store.get("node", nodeId)?.witness === true;

	async #currentKey(): Promise<Uint8Array> {
		const { store } = this.#deps;
		await store.readIndex();
		for (let attempt = 0; attempt < 3; attempt++) {
			const keyId = store.secretsKeyId();
			const key = keyId === null ? null : ((await this.#known()).get(keyId) ?? (await this.#fetch(keyId)));
			if (key !== null) return key;
			const made = await this.#make(keyId ?? "");
			if (made !== null) return made;
		}
		throw new AppError(
			"unavailable",
			"The key of the cluster's credentials is being made by another node. Try again.",
			{
				retryAfterMs: 2000,
			},
		);
	}

	/** Null when another node was quicker. The key is on this node's disk before anybody hears of it. */
	async #make(replaces: string): Promise<Uint8Array | null> {
		const { random, proposer, store, logger } = this.#deps;
		const key = random.bytes(sealKeyBytes);
		await this.#keep(key);
		try {
			await proposer.proposeSystem({ kind: "secretsKeySet", keyId: sealKeyId(key), replaces });
		} catch (error) {
			if (!isAppError(error, "already-exists")) throw error;
			await store.readIndex();
			return null;
		}
		if (replaces !== "") logger.warn("nobody has the key of the cluster's credentials; a new one was made", {});
		return key;
	}

	async #fetch(keyId: string): Promise<Uint8Array | null> {
		const known = (await this.#known()).get(keyId);
		if (known) return known;
		const peers = this.#deps.peers();
		const question: Question = { keyId };
		const ask = { method: methods.secretsKey, question, timeoutMs: askMs };
		const answers = await askLinked(peers, ask, (answer) => decodeKey((answer as Answer).key));
		const key = answers.map(({ answer }) => answer).find((found) => found !== null && sealKeyId(found) === keyId);
		if (!key) return null;
		await this.#keep(key);
		return key;
	}

	async #keep(key: Uint8Array): Promise<void> {
		const keys = new Map([[sealKeyId(key), key], ...(await this.#known())]);
		const kept = [...keys.values()].slice(0, maxKeys);
		await writeSecret(this.#path, `${kept.map((one) => Buffer.from(one).toString("base64url")).join("\n")}\n`);
		this.#keys = Promise.resolve(new Map(kept.map((one) => [sealKeyId(one), one])));
	}

	#known(): Promise<Map<string, Uint8Array>> {
		this.#keys ??= readKeys(this.#path).catch((error) => {
			this.#keys = null;
			throw error;
		});
		return this.#keys;
	}

	#inTurn<T>(work: () => Promise<T>): Promise<T> {
		const mine = this.#turn.then(work, work);
		this.#turn = mine.catch(() => {});
		return mine;
	}
}

const contextOf = (poolId: string): string => `pool:${poolId}`;

const decodeKey = (text: unknown): Uint8Array | null =>
	typeof text === "string" && encodedKey.test(text) ? new Uint8Array(Buffer.from(text, "base64url")) : null;

async function readKeys(path: string): Promise<Map<string, Uint8Array>> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
		throw new AppError("storage", `The file ${path} cannot be read.`, { cause: error });
	}
	const keys = text.split("\n").map(decodeKey);
	return new Map(keys.filter((key) => key !== null).map((key) => [sealKeyId(key), key]));
}
