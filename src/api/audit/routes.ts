/** Who did what: every change of the state, and every denial of somebody signed in. */

import { Type } from "@sinclair/typebox";
import { AuditPage, AuditRecord } from "../../model/access.ts";
import { anyOf, listQuery } from "../parameters.ts";
import { listed } from "../resources.ts";
import { type Route, route } from "../route.ts";

export const auditRoutes: Route[] = [
	route({
		operationId: "auditList",
		method: "GET",
		path: "/v1/audit",
		summary: "List audit records, newest first",
		tag: "audit",
		query: listQuery(["time"] as const, {
			requesterName: anyOf(Type.String({ maxLength: 128 })),
			operation: anyOf(Type.String({ maxLength: 64 })),
			outcome: anyOf(AuditRecord.properties.outcome),
		}),
		responses: { 200: AuditPage },
		handler: ({ context, query }) => listed(context, "audit", query),
	}),
];
