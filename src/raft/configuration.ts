/**
 * Who is a member. A configuration is in force from the moment its entry is in the log, committed or not, and goes
 * when the entry is cut off (thesis, 4.1). Changes go one voter at a time, so that any two majorities before and after
 * overlap.
 */
import { assert } from "../lib/assert.ts";
import type { Change, Configuration, ConfigurationAt, Limits, NodeId, RefusalReason } from "./types.ts";

export const emptyConfiguration: Configuration = { voters: [], witnesses: [], learners: [], removed: [] };

/** As an entry carries it: UTF-8 JSON. It is rare, and readable in a dump of the log. */
export const encodeConfiguration = (configuration: Configuration): Uint8Array =>
	new TextEncoder().encode(
		JSON.stringify({
			voters: configuration.voters,
			witnesses: configuration.witnesses,
			learners: configuration.learners,
			removed: configuration.removed,
		}),
	);

/** Null when these bytes are no configuration that could ever have been proposed. */
export function decodeConfiguration(data: Uint8Array): Configuration | null {
	let value: unknown;
	try {
		value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
	} catch {
		return null;
	}
	if (!isValidConfiguration(value)) return null;
	const { voters, witnesses, learners, removed } = value;
	return { voters, witnesses, learners, removed };
}

export function isValidConfiguration(value: unknown): value is Configuration {
	if (typeof value !== "object" || value === null) return false;
	const { voters, witnesses, learners, removed } = value as Configuration;
	if (![voters, witnesses, learners, removed].every(areIds)) return false;
	if (voters.length === 0 || !witnesses.every((id) => voters.includes(id))) return false;
	const all = [...voters, ...learners, ...removed];
	return new Set(all).size === all.length;
}

const areIds = (value: unknown): boolean =>
	Array.isArray(value) && value.length <= 1024 && value.every((id) => typeof id === "string" && id.length > 0);

export const isMember = (configuration: Configuration, id: NodeId): boolean =>
	configuration.voters.includes(id) || configuration.learners.includes(id);

/** The configuration after a change, or why there is none. What the followers' progress says is asked elsewhere. */
export function changed(before: Configuration, change: Change, limits: Limits): Configuration | RefusalReason {
	const { node } = change;
	const without = (ids: readonly NodeId[]): NodeId[] => ids.filter((id) => id !== node);
	switch (change.kind) {
		case "add-learner":
			if (isMember(before, node)) return "already-a-member";
			if (before.removed.includes(node)) return "was-removed";
			if (before.voters.length + before.learners.length >= limits.maxMembers) return "too-many-members";
			return { ...before, learners: [...before.learners, node] };
		case "promote":
			if (before.voters.includes(node)) return "already-a-member";
			if (!before.learners.includes(node)) return "not-a-member";
			if (before.voters.length >= limits.maxVoters) return "too-many-members";
			return {
				...before,
				voters: [...before.voters, node],
				witnesses: change.witness ? [...before.witnesses, node] : before.witnesses,
				learners: without(before.learners),
			};
		case "remove":
			if (!isMember(before, node)) return "not-a-member";
			if (before.voters.length === 1 && before.voters[0] === node) return "last-voter";
			return {
				voters: without(before.voters),
				witnesses: without(before.witnesses),
				learners: without(before.learners),
				removed: [...before.removed, node].slice(-limits.maxRemoved),
			};
	}
}

/** The configurations that the log holds, and the last one before it. */
export class ConfigurationHistory {
	readonly #history: ConfigurationAt[];

	constructor(configurations: readonly ConfigurationAt[]) {
		this.#history = configurations.length > 0 ? [...configurations] : [{ index: 0, configuration: emptyConfiguration }];
		this.#history.every((at, position) => {
			assert(position === 0 || at.index > (this.#history[position - 1]?.index ?? 0), "configurations ascend");
			return true;
		});
	}

	get latest(): ConfigurationAt {
		return this.#history.at(-1) as ConfigurationAt;
	}

	/** The last one up to `index`; the oldest that is known when all are later. */
	at(index: number): ConfigurationAt {
		let position = this.#history.length - 1;
		while (position > 0 && (this.#history[position] as ConfigurationAt).index > index) position -= 1;
		return this.#history[position] as ConfigurationAt;
	}

	/** Whether it is a voter in the one of `index` or in a later one. */
	isVoterSince(index: number, id: NodeId): boolean {
		return this.#history.some((at) => at.index >= index && at.configuration.voters.includes(id));
	}

	append(at: ConfigurationAt): void {
		assert(at.index > this.latest.index, "configurations ascend");
		this.#history.push(at);
	}

	/** True when the one in force has changed. */
	truncateAfter(index: number): boolean {
		const before = this.#history.length;
		while (this.#history.length > 1 && this.latest.index > index) this.#history.pop();
		return this.#history.length < before;
	}

	compact(index: number): void {
		while (this.#history.length > 1 && (this.#history[1] as ConfigurationAt).index <= index) this.#history.shift();
	}

	/** After a snapshot that holds this configuration. */
	reset(at: ConfigurationAt): void {
		this.#history.splice(0, this.#history.length, at);
	}
}
