import type { RequestContext } from "./context.ts";

/** For commands by which a volume that copies were made of is written to, grown or copied: by the rules of its pool, once all members have these. */
export const freeingSources = ({ services: { cluster } }: RequestContext): { freeSources?: true } =>
	cluster.everybodyHas("free-sources-1") ? { freeSources: true } : {};
