/**
 * The sessions of this node with a target. Pools, tries of pools and discoveries share them, so they are begun and ended in turn, and
 * never ended under somebody who uses them; which of them are ours is kept in a file until the machine restarts, from before they begin:
 * others' stay.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { isAppError } from "../../lib/errors.ts";
import { errnoOf } from "../file-errors.ts";
import type { Iscsi, IscsiTarget, LoggedIn } from "./iscsi.ts";
import type { Portal } from "./names.ts";

const Made = Type.Object({
	target: Type.String(),
	portals: Type.Array(Type.Object({ host: Type.String(), port: Type.Integer() })),
});
const fileName = /^iscsi-sessions-[0-9a-f]{32}\.json$/;

/** Who uses a target in this process, by its name. */
const users = new Map<string, Set<object | string>>();
const turns = new Map<string, Promise<unknown>>();

export type Joined = LoggedIn & {
	/** Ends what was begun by this, unless somebody else uses it by now. */
	undo(): Promise<void>;
};

export class TargetSessions {
	readonly #iscsi: Pick<Iscsi, "login" | "logout">;
	readonly #target: IscsiTarget;
	readonly #file: string;

	constructor(iscsi: Pick<Iscsi, "login" | "logout">, target: IscsiTarget, runFolder: string) {
		this.#iscsi = iscsi;
		this.#target = target;
		const name = new Bun.CryptoHasher("sha256").update(target.target).digest("hex").slice(0, 32);
		this.#file = join(runFolder, `iscsi-sessions-${name}.json`);
	}

	/** Logs in where it is not. `user`: whoever uses the sessions until `undo` or `leave`; the same one again is no other. */
	join(user: object | string): Promise<Joined> {
		return this.#inTurn(async () => {
			const all = this.#users();
			const isNew = !all.has(user);
			// Before the sessions are looked at: nobody ends them from here on.
			all.add(user);
			try {
				const answer = await this.#login();
				return { ...answer, undo: () => this.#undo(user, isNew, answer.made) };
			} catch (error) {
				if (isNew) all.delete(user);
				throw error;
			}
		});
	}

	has = (user: object | string): boolean => this.#users().has(user);

	/** Logs in where it is not, for a user that is there already; null when it has left meanwhile. */
	complete(user: object | string): Promise<LoggedIn | null> {
		return this.#inTurn(async () => (this.has(user) ? this.#login() : null));
	}

	async #login(): Promise<LoggedIn> {
		const before = await this.#kept();
		let answer: LoggedIn;
		try {
			answer = await this.#iscsi.login(this.#target, (missing) =>
				this.#keep([...without(before, missing), ...missing]),
			);
		} catch (error) {
			// None was begun.
			if (isAppError(error)) await this.#keep(before);
			throw error;
		}
		const { made, failed } = answer;
		const tried = [...made, ...failed.map(({ portal }) => portal)];
		if (tried.length > 0) await this.#keep([...without(before, tried), ...made]);
		return answer;
	}

	/** Ends all sessions that are ours when nobody here uses them any more, and `mayEnd` says so; where that fails, `user` has not left. */
	leave(user: object | string, mayEnd: () => Promise<boolean>): Promise<void> {
		return this.#inTurn(async () => {
			const all = this.#users();
			if ([...all].some((one) => one !== user)) {
				all.delete(user);
				return;
			}
			const isFree = await mayEnd();
			all.delete(user);
			if (!isFree) return;
			await this.#iscsi.logout(this.#target.target, await this.#kept());
			await this.#keep([]);
		});
	}

	/** Ends those of ours at these portals, unless anybody but `user` uses the target here. */
	end(user: object | string, portals: readonly Portal[]): Promise<void> {
		return this.#inTurn(async () => {
			const kept = await this.#kept();
			const ended = kept.filter((one) => portals.some((portal) => same(one, portal)));
			if (ended.length === 0 || [...this.#users()].some((one) => one !== user)) return;
			await this.#iscsi.logout(this.#target.target, ended);
			await this.#keep(without(kept, ended));
		});
	}

	#undo(user: object | string, isNew: boolean, made: readonly Portal[]): Promise<void> {
		return this.#inTurn(async () => {
			if (isNew) this.#users().delete(user);
			if (made.length === 0 || this.#users().size > 0) return;
			await this.#iscsi.logout(this.#target.target, made);
			await this.#keep(without(await this.#kept(), made));
		});
	}

	#users(): Set<object | string> {
		const { target } = this.#target;
		const known = users.get(target) ?? new Set();
		users.set(target, known);
		return known;
	}

	#inTurn<T>(work: () => Promise<T>): Promise<T> {
		const { target } = this.#target;
		const result = (turns.get(target) ?? Promise.resolve()).then(work);
		turns.set(
			target,
			result.catch(() => {}),
		);
		return result;
	}

	async #kept(): Promise<Portal[]> {
		return (await readMade(this.#file))?.portals ?? [];
	}

	async #keep(portals: readonly Portal[]): Promise<void> {
		if (portals.length === 0) return rm(this.#file, { force: true });
		await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
		await writeFile(this.#file, JSON.stringify({ target: this.#target.target, portals }), { mode: 0o600 });
	}
}

/** Targets with sessions that are ours, of this process and of one before it. */
export async function targetsWithSessions(runFolder: string): Promise<string[]> {
	const names = await readdir(runFolder).catch((error) => {
		if (errnoOf(error) === "ENOENT") return [];
		throw error;
	});
	const found = await Promise.all(
		names.filter((name) => fileName.test(name)).map((name) => readMade(join(runFolder, name))),
	);
	return found.flatMap((one) => (one === null ? [] : [one.target]));
}

async function readMade(path: string): Promise<{ target: string; portals: Portal[] } | null> {
	try {
		const value: unknown = JSON.parse(await readFile(path, "utf8"));
		return Value.Check(Made, value) ? value : null;
	} catch (error) {
		if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return null;
		throw error;
	}
}

const without = (all: readonly Portal[], some: readonly Portal[]): Portal[] =>
	all.filter((portal) => !some.some((one) => same(one, portal)));
const same = (a: Portal, b: Portal): boolean => a.host === b.host && a.port === b.port;
