/** What a store of one node is opened with, where a test does not care who it is. */
import type { OpenStoreOptions } from "../store/open-store.ts";

export const loneNode = {
	identity: {
		clusterId: "0190a000-0000-7000-8000-0000000000c1",
		nodeId: "0190a000-0000-7000-8000-0000000000a1",
		founder: true,
	},
	random: () => 0,
} satisfies Partial<OpenStoreOptions>;
