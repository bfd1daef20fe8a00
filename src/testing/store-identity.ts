/** What a store of one node is opened with, where a test does not care who it is. */
import type { OpenStoreOptions } from "../store/open-store.ts";
import { clusterIds } from "./fixtures.ts";

export const loneNode = {
	/** Of the cluster of the fixtures. */
	identity: { clusterId: clusterIds.cluster, nodeId: clusterIds.node, founder: true },
	random: () => 0,
} satisfies Partial<OpenStoreOptions>;
