/**
 * Clients that change the state through the API, each after its own last change, and the record of what was acknowledged.
 * Each changes the description of a VM of its own to something that was never said before, and makes and deletes API tokens.
 * What was sent and never answered may have happened or not, now or later; what was answered must be there from then on.
 */
import type { OperationTypes } from "../../gen/api.ts";
import type { ApiClient } from "../../lib/api-client.ts";
import { assert, present } from "../../lib/assert.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { waitUntil } from "../lab/wait-until.ts";

export type Api = ApiClient<OperationTypes>;

/** What an object may say: what was acknowledged last, or what was asked for since without an answer. */
type Register = { name: string; acknowledged: string; unanswered: Set<string> };
type TokenFate = "made" | "deleted" | "unknown";

const prefix = "load-";
const changesForEachToken = 4;
const later = ["unavailable", "timeout", "too-many-requests"] as const;
/** A node without a leader or on its way down: asked again after this. */
const pauseMs = 100;
const prepareLimitMs = 180_000;

export class WriteLoad {
	readonly #registers: Map<string, Register>;
	readonly #tokens = new Map<string, TokenFate>();
	#written = 0;
	#mark: { count: number; resolve: () => void } | null = null;
	acknowledged = 0;

	private constructor(registers: Map<string, Register>) {
		this.#registers = registers;
	}

	/** Makes a VM for each client; all of that is acknowledged. */
	static async prepare(api: Api, clients: number): Promise<WriteLoad> {
		const registers = new Map<string, Register>();
		for (let client = 1; client <= clients; client++) {
			const name = `${prefix}${client}`;
			const memory = { memoryBytes: 64 * MiB, maxMemoryBytes: 64 * MiB };
			const wanted = { name, description: "-", ...memory, vcpus: 1, maxVcpus: 1, nics: [], start: false };
			// The node's pool may not be ready yet.
			const { body } = await waitUntil(`VM ${name}`, prepareLimitMs, () =>
				api.call("vmCreate", { body: wanted }).catch((error: unknown) => {
					if (!isAppError(error, "unavailable")) throw error;
					return undefined;
				}),
			);
			registers.set(body.id, { name, acknowledged: "-", unanswered: new Set() });
		}
		return new WriteLoad(registers);
	}

	/** The same record, to go on with on a copy of the disks. */
	fork(): WriteLoad {
		const registers = [...this.#registers].map(([id, { name, acknowledged, unanswered }]): [string, Register] => [
			id,
			{ name, acknowledged, unanswered: new Set(unanswered) },
		]);
		const fork = new WriteLoad(new Map(registers));
		for (const [name, fate] of this.#tokens) fork.#tokens.set(name, fate);
		fork.#written = this.#written;
		return fork;
	}

	/** Resolves with the next answer that makes it `count` acknowledged in all. */
	reached(count: number): Promise<void> {
		return new Promise((resolve) => {
			this.#mark = { count, resolve };
		});
	}

	/** Writes through all of `apis` until `stop`; resolves when the last client has ended. Rejects when one is refused. */
	async run(apis: readonly Api[], stop: AbortSignal): Promise<void> {
		const clients = [...this.#registers].map(([id, register], at) => {
			const api = present(apis[at % apis.length], "an API for each client");
			return this.#client(api, id, register, stop);
		});
		await Promise.all(clients);
	}

	/** What was acknowledged and is not there, one line each. Fails with `unavailable` without a quorum. */
	async missing(api: Api): Promise<string[]> {
		const found: string[] = [];
		const query = { limit: 1000 };
		const [vmList, tokenList] = [await api.call("vmList", { query }), await api.call("tokenList", { query })];
		if (vmList.stale || tokenList.stale) throw new AppError("unavailable", "The answer is stale.");
		const vms = new Map(vmList.body.items.map((vm) => [vm.id, vm.description]));
		for (const [id, { name, acknowledged, unanswered }] of this.#registers) {
			const said = vms.get(id);
			if (said !== acknowledged && (said === undefined || !unanswered.has(said)))
				found.push(`${name} says ${said ?? "nothing"} and was last acknowledged as ${acknowledged}`);
		}
		const tokens = tokenList.body.items.filter(({ name }) => name.startsWith(prefix));
		const names = new Set(tokens.map(({ name }) => name));
		for (const [name, fate] of this.#tokens) {
			if (fate === "made" && !names.has(name)) found.push(`token ${name} was made and is not there`);
			if (fate === "deleted" && names.has(name)) found.push(`token ${name} was deleted and is there`);
		}
		for (const name of names) if (!this.#tokens.has(name)) found.push(`token ${name} was never asked for`);
		return found;
	}

	/** A user has room for a hundred tokens: those that a cut left behind go. */
	async tidy(api: Api): Promise<void> {
		const { body } = await api.call("tokenList", { query: { limit: 1000 } });
		for (const { id, name } of body.items) {
			if (!name.startsWith(prefix)) continue;
			await api.call("tokenDelete", { path: { id } });
			this.#tokens.set(name, "deleted");
		}
	}

	async #client(api: Api, id: string, register: Register, stop: AbortSignal): Promise<void> {
		let token: { id: string; name: string } | null = null;
		for (let turn = 1; !stop.aborted; turn++) {
			if (turn % changesForEachToken !== 0) await this.#change(api, id, register, stop);
			else if (token === null) token = await this.#makeToken(api, stop);
			else {
				await this.#deleteToken(api, token, stop);
				token = null;
			}
		}
	}

	async #change(api: Api, id: string, register: Register, signal: AbortSignal): Promise<void> {
		this.#written += 1;
		const description = `write ${this.#written}`;
		register.unanswered.add(description);
		if (!(await this.#answered(api.call("vmUpdate", { path: { id }, body: { description }, signal }), signal))) return;
		register.unanswered.delete(description);
		register.acknowledged = description;
	}

	async #makeToken(api: Api, signal: AbortSignal): Promise<{ id: string; name: string } | null> {
		this.#written += 1;
		const name = `${prefix}${this.#written}`;
		this.#tokens.set(name, "unknown");
		const made = await this.#answered(api.call("tokenCreate", { body: { name, role: "viewer" }, signal }), signal);
		if (!made) return null;
		this.#tokens.set(name, "made");
		return { id: made.body.token.id, name };
	}

	async #deleteToken(api: Api, { id, name }: { id: string; name: string }, signal: AbortSignal): Promise<void> {
		assert(this.#tokens.get(name) === "made", "the token was made");
		this.#tokens.set(name, "unknown");
		if (await this.#answered(api.call("tokenDelete", { path: { id }, signal }), signal))
			this.#tokens.set(name, "deleted");
	}

	/** The answer; null when there was none that says what happened. */
	async #answered<T>(call: Promise<T>, stop: AbortSignal): Promise<T | null> {
		try {
			const answer = await call;
			this.acknowledged += 1;
			if (this.acknowledged === this.#mark?.count) this.#mark.resolve();
			return answer;
		} catch (error) {
			if (stop.aborted) return null;
			// Too many requests: of those that were given up, some still wait for the cluster.
			if (!later.some((code) => isAppError(error, code))) throw error;
			await Bun.sleep(pauseMs);
			return null;
		}
	}
}
