/** All routes. Each is in the table of permissions, and each entry of the table is a route: else nothing starts. */
import { assert } from "../lib/assert.ts";
import { permissions } from "../model/permissions.ts";
import { auditRoutes } from "./audit/routes.ts";
import { joinTokenRoutes } from "./cluster/join-token-routes.ts";
import { memberRoutes } from "./cluster/member-routes.ts";
import { clusterRoutes } from "./cluster/routes.ts";
import { imageRoutes } from "./images/routes.ts";
import { networkRoutes } from "./networks/routes.ts";
import { poolContentRoutes } from "./pools/content-routes.ts";
import { poolOrphanRoutes } from "./pools/orphan-routes.ts";
import { poolRoutes } from "./pools/routes.ts";
import type { Route } from "./route.ts";
import { serviceRoutes } from "./service/routes.ts";
import { sessionRoutes } from "./sessions/routes.ts";
import { snapshotRoutes } from "./snapshots/routes.ts";
import { taskRoutes } from "./tasks/routes.ts";
import { tokenRoutes } from "./tokens/routes.ts";
import { userRoutes } from "./users/routes.ts";
import { vmRoutes } from "./vms/routes.ts";
import { volumeRoutes } from "./volumes/routes.ts";
import { volumeWorkRoutes } from "./volumes/work-routes.ts";

/** Throws when routes and table differ, or when an operation or a path with its method is defined twice. */
export function checkRoutes(routes: readonly Route[], table: Readonly<Record<string, unknown>>): readonly Route[] {
	const ids = new Set<string>();
	const places = new Set<string>();
	for (const { operationId, method, path, at } of routes) {
		assert(Object.hasOwn(table, operationId), `the route ${operationId} is not in the table of permissions`);
		const passedOn = at !== undefined && ["root", "public"].includes(String(table[operationId]));
		assert(!passedOn, `${operationId} asks for no role, and is not passed on to another node`);
		assert(!ids.has(operationId), `the route ${operationId} is defined twice`);
		const place = `${method} ${path}`;
		assert(!places.has(place), `${place} is defined twice`);
		ids.add(operationId);
		places.add(place);
	}
	for (const operationId of Object.keys(table))
		assert(ids.has(operationId), `the table of permissions names ${operationId}, which is no route`);
	return routes;
}

export const routes: readonly Route[] = checkRoutes(
	[
		...serviceRoutes,
		...sessionRoutes,
		...tokenRoutes,
		...userRoutes,
		...auditRoutes,
		...clusterRoutes,
		...memberRoutes,
		...joinTokenRoutes,
		...taskRoutes,
		...vmRoutes,
		...snapshotRoutes,
		...poolRoutes,
		...poolContentRoutes,
		...poolOrphanRoutes,
		...volumeRoutes,
		...volumeWorkRoutes,
		...imageRoutes,
		...networkRoutes,
	],
	permissions,
);
