/** References to objects, as tasks and the audit keep them. */
import type { ResourceKind, ResourceRef } from "../model/schema.ts";

export const refTo = (kind: ResourceKind, object: { id: string; name: string }): ResourceRef => ({
	kind,
	id: object.id,
	name: object.name,
});
export const vmRef = (vm: { id: string; name: string }): ResourceRef => refTo("vm", vm);
