/** The service itself: is it there, how is it, what can it do, what happens. */

import { Type } from "@sinclair/typebox";
import { Health } from "../../model/api.ts";
import { Event } from "../../model/event.ts";
import { Strict } from "../../model/schema.ts";
import { ok } from "../reply.ts";
import { type Route, route } from "../route.ts";

const tag = "service" as const;

export const serviceRoutes: Route[] = [
	route({
		operationId: "healthGet",
		method: "GET",
		path: "/healthz",
		summary: "Is the node there?",
		description: "Answers 200 as soon as the API does, also while libvirt is away; the body says what is missing.",
		tag,
		responses: { 200: Health },
		handler({ context }) {
			const { store, node, version } = context.services;
			const { leader, quorum, appliedIndex } = store.status();
			const hypervisor = node.hypervisorState();
			return ok({ version, nodeId: node.nodeId, leader, quorum, appliedIndex, hypervisor });
		},
	}),
	route({
		operationId: "metricsGet",
		method: "GET",
		path: "/metrics",
		summary: "Figures for Prometheus",
		tag,
		responses: {
			200: { contentType: "text/plain; version=0.0.4; charset=utf-8", description: "Prometheus text format" },
		},
		handler: ({ context }) => ok(context.services.metrics.render()),
	}),
	route({
		operationId: "openapiGet",
		method: "GET",
		path: "/v1/openapi.json",
		summary: "This description",
		tag,
		responses: { 200: Type.Object({ openapi: Type.String() }, { description: "An OpenAPI 3.1 document" }) },
		handler: ({ context }) => ok(context.services.openApi),
	}),
	route({
		operationId: "eventsStream",
		method: "GET",
		path: "/v1/events",
		summary: "Follow what changes",
		description:
			"Server-sent events. Each `change` has the id of the Event in its data; a stream that was cut goes on behind Last-Event-ID (or after). `reset` says that this id is too old: read everything anew. A comment every 15 seconds shows that the stream lives. Viewers and operators get no events of other people's users, sessions and tokens.",
		tag,
		query: Strict({
			after: Type.Optional(Event.properties.id),
		}),
		headers: Strict({
			"last-event-id": Type.Optional(Event.properties.id),
		}),
		responses: { 200: { contentType: "text/event-stream", description: "Events, without an end" } },
		longLived: true,
		handler({ context, query, headers }) {
			const after = headers["last-event-id"] ?? query.after ?? null;
			const stream = context.services.events.open(context.caller(), after, context.request.signal);
			return ok(stream);
		},
	}),
];
