/** What every node has its own of, asked of all nodes that run VMs. One that is away does not hide what the others have. */
import type { TObject } from "@sinclair/typebox";
import { AppError, toAppError } from "../lib/errors.ts";
import type { Node } from "../model/node.ts";
import type { RequestContext } from "./context.ts";
import { askNode } from "./relay.ts";
import type { Route } from "./route.ts";
import { fieldErrors } from "./validation.ts";

export type AllNodes<Item> = {
	/** The operation itself, with `nodeId` in its query; its answer has `items`. */
	route: Route;
	params: Record<string, string>;
	answer: TObject;
	own(): Promise<Item[]>;
	/** A node speaks for itself only. */
	isOf?(item: Item, nodeId: string): boolean;
};
type Unanswered = { nodeId: string; nodeName: string; message: string };

const runsVms = ({ status, witness }: Node): boolean =>
	!witness && status.phase !== "left" && status.phase !== "joining";

/** When nobody answers, this node's own error is the answer. */
export async function ofAllNodes<Item>(
	context: RequestContext,
	{ route, params, answer, own, isOf }: AllNodes<Item>,
): Promise<{ items: Item[]; unanswered?: Unanswered[] }> {
	const { node, store } = context.services;
	const ofOther = async (nodeId: string): Promise<Item[]> => {
		const answered = await askNode(context, route, nodeId, params, { nodeId });
		if (fieldErrors(answer, answered).length > 0)
			throw new AppError("unavailable", "The node answered with something that is not understood here.");
		return (answered as { items: Item[] }).items.filter((item) => isOf?.(item, nodeId) ?? true);
	};
	const others = store.all("node").filter((one) => one.id !== node.nodeId && runsVms(one));
	const here = store.get("node", node.nodeId);
	const asked = here?.witness ? others : [{ id: node.nodeId, name: here?.name ?? node.nodeId }, ...others];
	const answers = await Promise.allSettled(asked.map(({ id }) => (id === node.nodeId ? own() : ofOther(id))));
	context.credentialEnded.throwIfAborted();
	const items = answers.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
	const unanswered = asked.flatMap(({ id, name }, at): Unanswered[] => {
		const one = answers[at];
		return one?.status === "rejected" ? [{ nodeId: id, nodeName: name, message: toAppError(one.reason).message }] : [];
	});
	const first = answers[0];
	if (first?.status === "rejected" && unanswered.length === asked.length) throw first.reason;
	return { items, ...(unanswered.length > 0 ? { unanswered } : {}) };
}
