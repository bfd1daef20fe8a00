/** Error code → HTTP status, and which statuses a route may answer with. The only table of its kind. */
import type { ErrorCode } from "../lib/errors.ts";
import { permissions } from "../model/permissions.ts";
import type { Route } from "./route.ts";

export const statusOf: Record<ErrorCode, number> = {
	malformed: 400,
	unauthenticated: 401,
	forbidden: 403,
	"not-found": 404,
	"method-not-allowed": 405,
	"wrong-state": 409,
	"already-exists": 409,
	"in-use": 409,
	"stale-etag": 412,
	"too-large": 413,
	"unsupported-media-type": 415,
	invalid: 422,
	"too-many-requests": 429,
	unsupported: 422,
	unavailable: 503,
	"no-space": 507,
	timeout: 504,
	canceled: 409,
	corrupt: 500,
	hypervisor: 502,
	storage: 502,
	network: 502,
	internal: 500,
};

export function codesOf(route: Route): number[] {
	const codes = new Set([400, 429, 500, 503]);
	const add = (...more: number[]) => {
		for (const code of more) codes.add(code);
	};
	if (permissions[route.operationId] !== "public" || route.operationId === "sessionCreate") add(401, 403);
	if (route.params || route.method === "DELETE") add(404);
	if (route.params || route.query || route.headers || route.body || route.idempotent) add(422);
	if (route.body) add(413, 415);
	if (route.method !== "GET") add(409);
	if (route.ifMatch) add(412);
	// Those that ask the node or need space on it.
	if (["vms", "snapshots", "volumes", "images", "pools", "networks", "cluster"].includes(route.tag))
		add(404, 409, 502, 504);
	if (route.method !== "GET" && ["vms", "snapshots", "volumes", "images"].includes(route.tag)) add(507);
	return [...codes].sort((a, b) => a - b);
}
