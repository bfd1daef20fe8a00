/**
 * What a viewer sees of a VM: cloud-init data carry password hashes, keys and whatever else their author put there,
 * so viewers get the form without hashes and raw data not at all.
 */

import type { Role } from "../../model/access.ts";
import type { CloudInitSpec, Vm } from "../../model/vm.ts";
import type { StoreReader } from "../../store/store.ts";
import { knownVm } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { ok } from "../reply.ts";

const hidden = "#cloud-config\n# hidden: viewers do not see cloud-init data\n";

function redactCloudInit(spec: CloudInitSpec): CloudInitSpec {
	if (spec.kind === "raw") return { kind: "raw", userData: hidden, metaData: null, networkConfig: null };
	return { ...spec, users: spec.users.map((user) => ({ ...user, passwordHash: null })) };
}

/** The VM as far as it is known, and as `role` may see it; the same object when there is nothing to change. */
export function vmFor(store: Pick<StoreReader, "get">, role: Role, vm: Vm): Vm {
	const known = knownVm(store, vm);
	if (role !== "viewer" || known.spec.cloudInit === null) return known;
	return { ...known, spec: { ...known.spec, cloudInit: redactCloudInit(known.spec.cloudInit) } };
}

export const showVm = (context: RequestContext, vm: Vm) =>
	ok(vmFor(context.services.store, context.caller().role, vm), { etag: vm.generation });
