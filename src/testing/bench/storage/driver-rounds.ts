/**
 * Times of a storage driver's verbs beside the bare tool that it runs, in turns, so that both see the same machine. A volume of 10 GB is
 * made, copied copy-on-write, kept as a snapshot and deleted together with that; then many are made at once. Where the tool keeps no
 * snapshots here, ours keeps none either: what is deleted is the same on both sides.
 */
import { GiB } from "../../../lib/units.ts";
import type { VolumeFormat } from "../../../model/storage.ts";
import type { StorageDriver } from "../../../storage/driver.ts";
import { type Figures, median, round, timed } from "../bench.ts";

const verbs = ["create", "clone", "snapshot", "delete"] as const;
type Verb = (typeof verbs)[number];

/** The bare tool: what an administrator would type, each waited for. Names are free to choose. Without a verb there is no such figure. */
export type BareTool = {
	create(name: string, sizeBytes: number): Promise<void>;
	/** Copy-on-write. */
	clone?(from: string, name: string): Promise<void>;
	snapshot?(name: string, snapshot: string): Promise<void>;
	/** With its snapshots; `clones` rest on it and have gone before. */
	delete(name: string): Promise<void>;
};

export type DriverRounds = {
	/** Of the figures: "storageLocal". */
	prefix: string;
	driver: StorageDriver;
	bare: BareTool;
	newId: () => string;
	rounds: number;
};

const sizeBytes = 10 * GiB;
const atOnce = 100;

export async function driverRounds({ prefix, driver, bare, newId, rounds }: DriverRounds): Promise<Figures> {
	const ours = emptyTimes();
	const theirs = emptyTimes();
	const format = driver.capabilities.formats[0] ?? "raw";
	for (let number = 0; number <= rounds; number++) {
		const one = await oneOfOurs(driver, { format, newId, keepsSnapshot: bare.snapshot !== undefined });
		const other = await oneOfTheirs(bare, `bare-${number}`);
		// The first round warms up.
		if (number > 0) for (const verb of verbs) record(verb, one, other, ours, theirs);
	}
	const ids = Array.from({ length: atOnce }, newId);
	const empty = { format, sizeBytes, source: { kind: "empty" } } as const;
	const oursAtOnce = await timed(() => Promise.all(ids.map((id) => driver.createVolume(id, empty))));
	const names = ids.map((_, at) => `at-once-${at}`);
	const theirsAtOnce = await timed(() => Promise.all(names.map((name) => bare.create(name, sizeBytes))));
	await Promise.all(ids.map((id) => driver.deleteVolume(id)));
	await Promise.all(names.map((name) => bare.delete(name)));
	return {
		...Object.assign({}, ...verbs.map((verb) => figuresOf(prefix, verb, ours[verb], theirs[verb]))),
		[`${prefix}Create${atOnce}AtOnceMs`]: round(oursAtOnce, 0),
		[`${prefix}Create${atOnce}AtOnceRatio`]: round(oursAtOnce / theirsAtOnce),
	};
}

type Times = Record<Verb, number[]>;
const emptyTimes = (): Times => ({ create: [], clone: [], snapshot: [], delete: [] });
type Round = Partial<Record<Verb, number>>;

function record(verb: Verb, one: Round, other: Round, ours: Times, theirs: Times): void {
	const [mine, bare] = [one[verb], other[verb]];
	if (mine === undefined || bare === undefined) return;
	ours[verb].push(mine);
	theirs[verb].push(bare);
}

type OurRound = { format: VolumeFormat; newId: () => string; keepsSnapshot: boolean };

async function oneOfOurs(driver: StorageDriver, { format, newId, keepsSnapshot }: OurRound): Promise<Round> {
	const [id, copy, snapshotId] = [newId(), newId(), newId()];
	const volume = { format, sizeBytes } as const;
	const create = await timed(() => driver.createVolume(id, { ...volume, source: { kind: "empty" } }));
	const source = { kind: "volume", id, fullCopy: false } as const;
	const clone = await timed(() => driver.createVolume(copy, { ...volume, source }));
	await driver.deleteVolume(copy);
	const snapshots = keepsSnapshot ? driver.snapshots : null;
	const times: Round = { create, clone };
	if (snapshots) times.snapshot = await timed(() => snapshots.take(id, snapshotId, { running: false }));
	times.delete = await timed(() => driver.deleteVolume(id));
	return times;
}

async function oneOfTheirs(bare: BareTool, name: string): Promise<Round> {
	const round: Round = { create: await timed(() => bare.create(name, sizeBytes)) };
	if (bare.clone) {
		round.clone = await timed(() => bare.clone?.(name, `${name}-copy`));
		await bare.delete(`${name}-copy`);
	}
	if (bare.snapshot) round.snapshot = await timed(() => bare.snapshot?.(name, "one"));
	round.delete = await timed(() => bare.delete(name));
	return round;
}

/** The aim is a ratio of at most 1.1 and 20 ms more: the excess over 1.1 times the bare tool is what counts against them. */
function figuresOf(prefix: string, verb: Verb, ours: readonly number[], theirs: readonly number[]): Figures {
	if (ours.length === 0) return {};
	const name = `${prefix}${verb[0]?.toUpperCase()}${verb.slice(1)}`;
	const [mine, bare] = [median(ours), median(theirs)];
	return {
		[`${name}MedianMs`]: round(mine, 1),
		[`${name}BareMedianMs`]: round(bare, 1),
		[`${name}Ratio`]: round(mine / bare),
		[`${name}OverAimMs`]: round(Math.max(0, mine - 1.1 * bare - 20), 1),
	};
}
