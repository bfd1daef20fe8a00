/** Networks. */
import { AppError } from "../../lib/errors.ts";
import { Network, NetworkUpdate } from "../../model/network.ts";
import { networkConfigProblems, networksCollide } from "../../model/network-rules.ts";
import { validated } from "../../model/validate.ts";
import { asCreated, checkGeneration, checkNameFree, createTask, describedChanges, endTasksOf } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { memberOf } from "./node.ts";

export const networkHandlers: Handlers<
	"networkCreate" | "networkUpdate" | "networkDelete" | "networkNodeStatus" | "networkGone"
> = {
	networkCreate(context, body) {
		const network = validated(Network, body.network, "The network");
		checkNetwork(context, network);
		context.insert("network", { ...asCreated(context, network), nodes: [], deleting: false });
		return createTask(context, body.task, ["network.create"]);
	},

	networkUpdate(context, { kind: _kind, id, expectedGeneration, ...changes }) {
		const network = context.need("network", id);
		checkGeneration(network, expectedGeneration, "network");
		if (network.deleting) throw new AppError("wrong-state", `The network ${network.name} is being deleted.`);
		validated(NetworkUpdate, changes, "The change");
		if (changes.name !== undefined) checkNameFree(context, "network", changes.name, id);
		context.updateSpec("network", network, describedChanges<Network>(changes));
		return null;
	},

	networkDelete(context, body) {
		const network = context.need("network", body.id);
		if (network.deleting && context.state.unfinishedTasksOf(network.id).some((task) => task.kind === "network.delete"))
			throw new AppError("wrong-state", `The network ${network.name} is being deleted already.`);
		checkUnused(context, network);
		context.update("network", network, { ...network, deleting: true });
		return createTask(context, body.task, ["network.delete"]);
	},

	networkNodeStatus(context, body) {
		const network = context.need("network", body.id);
		const nodes = [...network.nodes.filter((node) => node.nodeId !== body.status.nodeId), body.status];
		nodes.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
		const after = validated(Network, { ...network, nodes }, "The network");
		const node = context.needReferenced("node", body.status.nodeId, "/status/nodeId");
		memberOf(context, node.id);
		context.update("network", network, after);
		return null;
	},

	networkGone(context, body) {
		const network = context.need("network", body.id);
		if (!network.deleting) throw new AppError("wrong-state", "Nobody asked to delete this network.");
		checkUnused(context, network);
		endTasksOf(context, network.id, "network.delete", "network");
		context.remove("network", network);
		return null;
	},
};

export function checkNetwork(context: ApplyContext, network: Network): void {
	checkNameFree(context, "network", network.name, null);
	const fields = networkConfigProblems(network.config);
	if (fields.length > 0) throw new AppError("invalid", "The addresses of the network do not fit together.", { fields });
	const other = context.state.all("network").find((known) => networksCollide(known.config, network.config));
	if (other) {
		const message = `The network ${other.name} has overlapping addresses.`;
		throw new AppError("already-exists", message, { fields: [{ path: "/config/gateway", message }] });
	}
}

function checkUnused(context: ApplyContext, network: Network): void {
	const vm = context.state.linked("vm", "networkId", network.id, 1)[0];
	if (vm) throw new AppError("in-use", `The VM ${vm.name} has a NIC on the network ${network.name}.`);
}
