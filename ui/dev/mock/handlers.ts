/** What each operation does to the mock's state. Enough of the API's manners for the UI; the truth is in src/api. */
import type { OperationName } from "../../../src/gen/api.ts";
import type { LiveKind } from "../../api/types.ts";
import { access } from "./access.ts";
import { members } from "./members.ts";
import { networks } from "./networks.ts";
import { orphans } from "./orphans.ts";
import { poolContent } from "./pool-content.ts";
import { pools } from "./pools.ts";
import { checkMatch, checkName, find, type HandlerTable, MockProblem, type MockSettings, page } from "./request.ts";
import { service } from "./service.ts";
import { snapshots } from "./snapshots.ts";
import type { MockState } from "./state.ts";
import { storage } from "./storage.ts";
import { vms } from "./vms.ts";
import { volumeWork } from "./volume-work.ts";

const lists: Partial<Record<OperationName, LiveKind>> = {
	nodeList: "node",
	vmList: "vm",
	volumeList: "volume",
	poolList: "pool",
	imageList: "image",
	networkList: "network",
	taskList: "task",
	userList: "user",
	sessionList: "session",
	tokenList: "token",
};
const gets: Partial<Record<OperationName, LiveKind>> = {
	nodeGet: "node",
	vmGet: "vm",
	volumeGet: "volume",
	poolGet: "pool",
	imageGet: "image",
	networkGet: "network",
	taskGet: "task",
	userGet: "user",
};
const updates: Partial<Record<OperationName, LiveKind>> = {
	nodeUpdate: "node",
	volumeUpdate: "volume",
	imageUpdate: "image",
	networkUpdate: "network",
	userUpdate: "user",
};

export function handlers(state: MockState, settings: MockSettings): HandlerTable {
	const table: HandlerTable = {};
	for (const [operation, kind] of Object.entries(lists)) {
		table[operation as OperationName] = ({ query }) => ({ body: page(state, kind, query) });
	}
	for (const [operation, kind] of Object.entries(gets)) {
		table[operation as OperationName] = ({ id }) => ({ body: find(state, kind, id) });
	}
	for (const [operation, kind] of Object.entries(updates)) {
		table[operation as OperationName] = ({ id, body, headers }) => {
			const object = find(state, kind, id) as { id: string; generation: number };
			checkMatch(headers, object);
			if (typeof body.name === "string") checkName(state, kind, body.name, id);
			const { confirmUnreached, ...change } = body;
			if (confirmUnreached !== true) checkReached(state, change.peerAddresses);
			state.change(kind, id, { ...change, generation: object.generation + 1 } as never);
			return { body: find(state, kind, id) };
		};
	}
	return {
		...table,
		...service(state, settings),
		...access(state, settings),
		...vms(state),
		...storage(state),
		...snapshots(state),
		...volumeWork(state),
		...pools(state),
		...poolContent(state),
		...orphans(state),
		...networks(state),
		...members(state, settings),
	};
}

function checkReached(state: MockState, addresses: unknown): void {
	if (!Array.isArray(addresses) || !addresses.some((address) => state.members.nowhere.has(String(address)))) return;
	const message = `The other nodes do not reach it there. Nobody listens at ${addresses.join(", ")}. Nothing was changed.`;
	throw new MockProblem(422, "invalid", message, [{ path: "/confirmUnreached", message }]);
}
