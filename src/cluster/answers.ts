/** What other nodes ask this one for, in calls. Whether a change may be made is for where it is applied. */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { PeerNode } from "../peer/peer.ts";
import type { PeerRequest } from "../peer/request-server.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { answerWhereIs } from "./asking-around.ts";
import type { ClusterSecrets } from "./cluster-secrets.ts";
import { proposeAll } from "./forwarding.ts";
import { answerHears } from "./hearing.ts";
import type { LeaderViews } from "./leader-view.ts";
import { decodeJson, decodeProposal, encodeJson, methods } from "./methods.ts";
import { answerProbe } from "./reachability.ts";

export type CallDeps = {
	consensus: RaftConsensus;
	leaderViews: LeaderViews;
	peers: PeerNode;
	clock: Clock;
	secrets: Pick<ClusterSecrets, "answer">;
};

export async function answerCall({ method, payload, peer }: PeerRequest, deps: CallDeps): Promise<Uint8Array> {
	const { consensus, leaderViews, peers, clock, secrets } = deps;
	switch (method) {
		case methods.propose: {
			const { data, urgency } = decodeProposal(payload);
			await consensus.proposeHere(data, urgency);
			return new Uint8Array(0);
		}
		case methods.proposeSeveral:
			return proposeAll(consensus, payload);
		case methods.transferLeadership: {
			const { to } = decodeJson<{ to: unknown }>(payload);
			if (to !== null && typeof to !== "string") throw new AppError("malformed", "Not a node.");
			return encodeJson({ leader: await consensus.transferLeadership(to) });
		}
		case methods.probe:
			return answerProbe(payload, clock);
		case methods.whereIs:
			return answerWhereIs(payload, peers);
		case methods.hears:
			return answerHears(payload, peers);
		case methods.secretsKey:
			return secrets.answer(payload, peer.nodeId);
		case methods.memberStatus:
			return encodeJson(leaderViews.own() ?? doesNotLead());
		default:
			throw new AppError("unsupported", `This node does not know the call ${method} of ${peer.nodeName}.`);
	}
}

const doesNotLead = (): never => {
	throw new AppError("unavailable", "This node does not lead.");
};
