/** The mock's networks. */
import { checkName, find, type HandlerTable, MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";

export function networks(state: MockState): HandlerTable {
	return {
		networkCreate: ({ body }) => {
			checkName(state, "network", body.name);
			const network = state.put("network", {
				...state.metadata(),
				name: String(body.name),
				description: String(body.description ?? ""),
				config: body.config as never,
				nodes: [],
				deleting: false,
			});
			const task = state.startTask("network.create", [state.refOf("network", network.id)], {
				steps: 2,
				onDone: () =>
					state.change("network", network.id, {
						nodes: [{ nodeId: state.nodeId, health: "healthy", bridge: "lqxbr1", error: null }],
					}),
			});
			return { status: 201, body: network, task };
		},
		networkDelete: ({ id }) => {
			find(state, "network", id);
			if ([...state.tables.vm.values()].some(({ spec }) => spec.nics.some(({ networkId }) => networkId === id))) {
				throw new MockProblem(409, "in-use", "NICs of VMs are connected to the network.");
			}
			state.change("network", id, { deleting: true });
			const task = state.startTask("network.delete", [state.refOf("network", id)], {
				steps: 2,
				onDone: () => state.remove("network", id),
			});
			return { status: 202, body: task, task };
		},
		networkLeaseList: () => ({
			body: {
				items: [...state.tables.vm.values()]
					.flatMap((vm) => vm.status.addresses.map((address) => ({ vm, ...address })))
					.slice(0, 30)
					.map(({ vm, mac, address }) => ({
						mac,
						address,
						hostname: vm.name,
						expiresAt: new Date(Date.now() + 3000_000).toISOString(),
						vmId: vm.id,
					})),
			},
		}),
	};
}
