/**
 * Page tokens: where the last page ended, bound to the query that it belongs to. They hold nothing secret and grant
 * nothing (the values are only compared with), so they are not signed; a token of another query is refused.
 */
import { AppError } from "../../lib/errors.ts";

export type Position = { value: string | number; id: string };

const fingerprint = (query: string): string => Bun.hash.xxHash64(query).toString(36);

export const encodePageToken = (query: string, position: Position): string =>
	Buffer.from(JSON.stringify([fingerprint(query), position.value, position.id])).toString("base64url");

export function decodePageToken(query: string, token: string): Position {
	const parts = parse(token);
	if (!Array.isArray(parts) || parts.length !== 3) throw badToken("is not a page token");
	const [print, value, id] = parts as unknown[];
	if (print !== fingerprint(query))
		throw badToken("belongs to another list: filter, sort and search must stay the same");
	if ((typeof value !== "string" && typeof value !== "number") || typeof id !== "string")
		throw badToken("is not a page token");
	return { value, id };
}

function parse(token: string): unknown {
	if (token.length > 2048) return null;
	try {
		return JSON.parse(Buffer.from(token, "base64url").toString());
	} catch {
		return null;
	}
}

const badToken = (message: string): AppError =>
	new AppError("invalid", `The page token ${message}.`, { fields: [{ path: "?pageToken", message }] });
