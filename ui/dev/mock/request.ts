/** What a handler of the mock gets and gives, and the checks that several of them share. */
import type { OperationName } from "../../../src/gen/api.ts";
import type { Task } from "../../../src/model/task.ts";
import type { User } from "../../api/types.ts";
import type { MockKind, MockState } from "./state.ts";

export class MockProblem extends Error {
	constructor(
		readonly status: number,
		readonly code: string,
		message: string,
		readonly fields: { path: string; message: string }[] = [],
	) {
		super(message);
	}
}

export type MockRequest = {
	id: string;
	query: URLSearchParams;
	headers: Headers;
	body: Record<string, unknown>;
	bytes: () => Promise<Uint8Array>;
	user: User | null;
	sessionId: string | null;
};
export type MockAnswer = { status?: number; body?: unknown; task?: Task; headers?: Record<string, string> };
export type Handler = (request: MockRequest) => MockAnswer | Promise<MockAnswer>;

export type MockSettings = {
	clusterName: string;
	quorum: boolean;
	demoAvailable: boolean;
	passwords: Map<string, string>;
};

export type HandlerTable = Partial<Record<OperationName, Handler>>;

export function find(state: MockState, kind: MockKind, id: string): { id: string } {
	const object = state.tables[kind].get(id);
	if (!object) throw new MockProblem(404, "not-found", `There is no such ${kind}.`);
	return object;
}

export function page(state: MockState, kind: MockKind, query: URLSearchParams) {
	let items: Record<string, unknown>[] = [...state.tables[kind].values()] as never;
	for (const key of ["state", "kind", "phase", "vmId", "poolId"]) {
		const wanted = query.getAll(key);
		if (wanted.length > 0) items = items.filter((item) => wanted.includes(String(item[key])));
	}
	const target = query.get("targetId");
	if (target) items = items.filter((item) => (item.targets as { id: string }[]).some(({ id }) => id === target));
	const sources = query.getAll("sourceVolumeId");
	if (sources.length > 0)
		items = items.filter(({ source }) => sources.includes((source as { volumeId?: string }).volumeId ?? ""));
	const held = query.get("volumeId");
	if (held)
		items = items.filter(({ disks }) => (disks as { volumeId: string }[]).some(({ volumeId }) => volumeId === held));
	const sort = query.get("sort") ?? (kind === "task" ? "-createdAt" : "name");
	const column = sort.replace(/^-/, "");
	items.sort((a, b) => (String(a[column]) < String(b[column]) ? -1 : 1) * (sort.startsWith("-") ? -1 : 1));
	const start = Number(query.get("pageToken") ?? 0);
	const limit = Number(query.get("limit") ?? 100);
	const end = start + limit;
	return { items: items.slice(start, end), nextPageToken: end < items.length ? String(end) : null };
}

export function checkMatch(headers: Headers, object: { generation: number }): void {
	const match = headers.get("if-match");
	if (match !== null && match !== `"${object.generation}"`) {
		throw new MockProblem(412, "stale-etag", "The object was changed in the meantime.");
	}
}

export function checkName(state: MockState, kind: MockKind, name: unknown, own = ""): void {
	if (typeof name !== "string" || name === "") {
		throw new MockProblem(422, "invalid", "The request is not valid.", [
			{ path: "/name", message: "A name is needed." },
		]);
	}
	for (const object of state.tables[kind].values() as Iterable<{ id: string; name?: string }>) {
		if (object.name === name && object.id !== own) {
			throw new MockProblem(409, "already-exists", `The name ${name} is taken.`, [
				{ path: "/name", message: `The name ${name} is taken.` },
			]);
		}
	}
}
