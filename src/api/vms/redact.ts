/**
 * What a viewer sees of a VM: cloud-init data carry password hashes, keys and whatever else their author put there,
 * so viewers get the form without hashes and raw data not at all.
 */

import type { Identity } from "../../auth/identity.ts";
import type { Role } from "../../model/access.ts";
import type { CloudInitSpec, Vm } from "../../model/vm.ts";
import { ok } from "../reply.ts";

const hidden = "#cloud-config\n# hidden: viewers do not see cloud-init data\n";

function redactCloudInit(spec: CloudInitSpec): CloudInitSpec {
	if (spec.kind === "raw") return { kind: "raw", userData: hidden, metaData: null, networkConfig: null };
	return { ...spec, users: spec.users.map((user) => ({ ...user, passwordHash: null })) };
}

/** The VM as `role` may see it; the same object when there is nothing to hide. */
export function vmFor(role: Role, vm: Vm): Vm {
	if (role !== "viewer" || vm.spec.cloudInit === null) return vm;
	return { ...vm, spec: { ...vm.spec, cloudInit: redactCloudInit(vm.spec.cloudInit) } };
}

export const showVm = (identity: Identity, vm: Vm) => ok(vmFor(identity.role, vm), { etag: vm.generation });
