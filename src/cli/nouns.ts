/** All nouns, in the order of the help. */
import { apiVerb } from "./nouns/api.ts";
import { auditNoun } from "./nouns/audit.ts";
import { clusterNoun } from "./nouns/cluster.ts";
import { completionVerb } from "./nouns/completion.ts";
import { eventNoun } from "./nouns/event.ts";
import { foreignVmNoun } from "./nouns/foreign-vm.ts";
import { imageNoun } from "./nouns/image.ts";
import { loginVerb, logoutVerb } from "./nouns/login.ts";
import { meNoun } from "./nouns/me.ts";
import { networkNoun } from "./nouns/network.ts";
import { nodeNoun } from "./nouns/node.ts";
import { poolNoun } from "./nouns/pool.ts";
import { healthVerb, metricsVerb, openapiVerb, versionVerb } from "./nouns/service.ts";
import { sessionNoun } from "./nouns/session.ts";
import { taskNoun } from "./nouns/task.ts";
import { tokenNoun } from "./nouns/token.ts";
import { userNoun } from "./nouns/user.ts";
import { vmNoun } from "./nouns/vm.ts";
import { volumeNoun } from "./nouns/volume.ts";
import type { Noun, Verb } from "./verb.ts";

export const nouns: readonly Noun[] = [
	vmNoun,
	foreignVmNoun,
	imageNoun,
	volumeNoun,
	poolNoun,
	networkNoun,
	nodeNoun,
	clusterNoun,
	taskNoun,
	eventNoun,
	userNoun,
	sessionNoun,
	tokenNoun,
	auditNoun,
	meNoun,
];

/** Commands without a noun. */
export const topLevelVerbs: readonly Verb[] = [
	loginVerb,
	logoutVerb,
	healthVerb,
	metricsVerb,
	openapiVerb,
	apiVerb,
	completionVerb,
	versionVerb,
];
