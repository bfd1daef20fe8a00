/** Parameters that many routes share, and the answers that go with them. */
import { type TSchema, Type } from "@sinclair/typebox";
import { Id, Strict, StringEnum, Timestamp } from "../model/schema.ts";

export const defaultPageSize = 100;
export const maxPageSize = 1000;

export const idParams = Strict({ id: Id });

/** Several values are several parameters: `?phase=ready&phase=error`. */
export const anyOf = <T extends TSchema>(schema: T, description?: string) =>
	Type.Optional(Type.Array(schema, { minItems: 1, maxItems: 32, ...(description ? { description } : {}) }));

/** Query of a list: paging, order, search, and equality filters on the columns given. */
export function listQuery<const S extends readonly string[], F extends Record<string, TSchema>>(
	sortable: S,
	filters: F,
) {
	const orders = sortable.flatMap((column) => [column, `-${column}`]) as (S[number] | `-${S[number]}`)[];
	return Strict({
		limit: Type.Optional(Type.Integer({ minimum: 1, maximum: maxPageSize, description: `Default ${defaultPageSize}` })),
		pageToken: Type.Optional(
			Type.String({ maxLength: 1024, description: "nextPageToken of the page before; the other parameters stay" }),
		),
		sort: Type.Optional(StringEnum(orders, { description: "A leading '-' turns the order round" })),
		search: Type.Optional(Type.String({ maxLength: 128, description: "Part of the name, in any case" })),
		...filters,
	});
}

export const historyQuery = Strict({
	since: Type.Optional({ ...Timestamp, description: "Only samples that are newer; default: all that there are" }),
});
/** Of a historyQuery, as the node takes it. */
export const afterMs = ({ since }: { since?: string }): number => (since === undefined ? 0 : Date.parse(since));

/** For what every node has its own of. */
export const nodeQuery = (description: string) => Strict({ nodeId: Type.Optional({ ...Id, description }) });
