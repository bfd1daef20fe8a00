/** Looking at and into VMs: figures, screen, logs, the domain itself. */

import { Type } from "@sinclair/typebox";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { vmActionObstacle } from "../../model/actions.ts";
import { ConsoleTicket, ConsoleTicketCreate } from "../../model/api.ts";
import { VmMetrics, VmMetricsHistory } from "../../model/node.ts";
import { Strict } from "../../model/schema.ts";
import { intervals } from "../../node/limits.ts";
import type { ApiServices } from "../context.ts";
import { afterMs, historyQuery, idParams } from "../parameters.ts";
import { vmRef } from "../refs.ts";
import { made, ok } from "../reply.ts";
import { find, nodeServiceFor } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "vms" as const;

const nodeOfVm = ({ services, params }: { services: ApiServices; params: { id: string } }) =>
	find({ services }, "vm", params.id).nodeId;

export const vmInspectRoutes: Route[] = [
	route({
		operationId: "vmMetricsGet",
		method: "GET",
		path: "/v1/vms/{id}/metrics",
		summary: "Live figures of a VM",
		tag,
		params: idParams,
		responses: { 200: VmMetrics },
		at: nodeOfVm,
		handler({ context, params }) {
			const vm = find(context, "vm", params.id);
			const metrics = nodeServiceFor(context, vm.nodeId).vmMetrics(vm.id);
			if (!metrics) throw new AppError("wrong-state", "There are no figures: the VM is off, or has just started.");
			return ok(metrics);
		},
	}),
	route({
		operationId: "vmMetricsHistoryGet",
		method: "GET",
		path: "/v1/vms/{id}/metrics/history",
		summary: "Figures of a VM in the last hour",
		description:
			"Kept in memory by the VM's node: they begin anew when its service does. A VM that was stopped keeps those of before.",
		tag,
		params: idParams,
		query: historyQuery,
		responses: { 200: VmMetricsHistory },
		at: nodeOfVm,
		handler({ context, params, query }) {
			const vm = find(context, "vm", params.id);
			const items = nodeServiceFor(context, vm.nodeId).vmMetricsHistory(vm.id, afterMs(query));
			return ok({ intervalMs: intervals.metricsHistoryMs, items });
		},
	}),
	route({
		operationId: "vmScreenshotGet",
		method: "GET",
		path: "/v1/vms/{id}/screenshot",
		summary: "Picture of a VM's screen",
		tag,
		params: idParams,
		responses: { 200: { contentType: "image/png", description: "The screen as it is now" } },
		at: nodeOfVm,
		async handler({ context, params }) {
			const vm = find(context, "vm", params.id);
			return ok(await nodeServiceFor(context, vm.nodeId).screenshot(vm.id));
		},
	}),
	route({
		operationId: "vmSerialLogGet",
		method: "GET",
		path: "/v1/vms/{id}/serial-log",
		summary: "End of a VM's serial log",
		tag,
		params: idParams,
		query: Strict({
			maxBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 4 * MiB, description: "Default 65536" })),
		}),
		responses: { 200: { contentType: "text/plain; charset=utf-8", description: "As the guest wrote it" } },
		at: nodeOfVm,
		async handler({ context, params, query }) {
			const vm = find(context, "vm", params.id);
			return ok(await nodeServiceFor(context, vm.nodeId).serialLog(vm.id, query.maxBytes ?? 65_536));
		},
	}),
	route({
		operationId: "vmDomainXmlGet",
		method: "GET",
		path: "/v1/vms/{id}/domain-xml",
		summary: "libvirt's definition of a VM",
		tag,
		params: idParams,
		responses: { 200: { contentType: "application/xml", description: "Domain XML, for support" } },
		at: nodeOfVm,
		async handler({ context, params }) {
			const vm = find(context, "vm", params.id);
			return ok(await nodeServiceFor(context, vm.nodeId).domainXml(vm.id));
		},
	}),
	route({
		operationId: "vmConsoleTicketCreate",
		method: "POST",
		path: "/v1/vms/{id}/console-tickets",
		summary: "Get a ticket for a console",
		description:
			"Good once, for 30 seconds, on this node: open a WebSocket on the path with the subprotocols given. A viewer's ticket is always view-only.",
		tag,
		direct: true,
		params: idParams,
		body: ConsoleTicketCreate,
		responses: { 201: ConsoleTicket },
		async handler({ context, params, body }) {
			const identity = context.caller();
			const vm = find(context, "vm", params.id);
			const obstacle = vmActionObstacle("console", vm);
			if (obstacle) throw new AppError("wrong-state", obstacle);
			const viewOnly = identity.role === "viewer" || (body.viewOnly ?? false);
			const { kind, type } = body;
			const issued = await context.services.console.createTicket({ vmId: vm.id, kind, type, viewOnly, identity });
			const { operation, remoteAddress, services } = context;
			await services.auth.recordUse({
				...{ identity, operation, remoteAddress, outcome: "accepted", errorCode: null },
				targets: [vmRef(vm)],
			});
			return made(issued);
		},
	}),
];
