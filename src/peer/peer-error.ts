/**
 * How a connection between nodes ends, or is never made. `code` is for programs and stays as it is between versions;
 * codes that a newer version sends and this one does not know arrive as "refused".
 */
import { AppError, type ErrorCode } from "../lib/errors.ts";

export const closeCodes = [
	// The other side says no; it will say so again.
	"wrong-cluster",
	"unknown-node", // not a member (yet, or here)
	"removed-node", // was a member; must join anew
	"other-node", // you wanted somebody else
	"duplicate-node", // another process uses your id, and it is connected
	"no-common-version",
	"bad-certificate", // none, or not one that our CA gave to this node
	"bad-hello",
	"token-unknown",
	"token-used",
	"token-expired",
	"not-admitted", // the cluster takes no such node; the text says why
	// The other side says not now.
	"too-many-connections",
	"unavailable",
	"closing",
	"replaced", // a newer connection took over
	// This side found out.
	"unreachable", // no connection, or cut off
	"timeout", // nothing heard for too long
	"protocol", // not a frame, too large, or not expected here
	"slow", // does not take what it is sent
	"internal",
	"refused", // for a reason that this version does not know
] as const;
export type CloseCode = (typeof closeCodes)[number];

export type Close = { code: CloseCode; message: string };

const isCloseCode = (code: string): code is CloseCode => (closeCodes as readonly string[]).includes(code);
export const toCloseCode = (code: string): CloseCode => (isCloseCode(code) ? code : "refused");

/** Asking again soon is no use: an administrator, or time, has to change something first. */
const lasting: readonly CloseCode[] = [
	"wrong-cluster",
	"unknown-node",
	"removed-node",
	"other-node",
	"duplicate-node",
	"no-common-version",
	"bad-certificate",
	"bad-hello",
	"token-unknown",
	"token-used",
	"token-expired",
	"not-admitted",
	"refused",
];
export const isLasting = (code: CloseCode): boolean => lasting.includes(code);

/** To whoever knocks again and again. A new member is not known everywhere at once; a double may be a process that is ending. */
export const mayChangeSoon = (code: CloseCode): boolean =>
	!isLasting(code) || code === "unknown-node" || code === "duplicate-node";

/**
 * What waits on a connection that is not there fails with this. `sent` false: the other node has seen nothing of it, so
 * it may be tried elsewhere without a thought; true: it may have been done.
 */
export class PeerError extends AppError {
	override name = "PeerError";
	readonly close: CloseCode;
	readonly sent: boolean;

	constructor(close: Close, sent = false) {
		super(errorCodeOf(close.code), close.message);
		this.close = close.code;
		this.sent = sent;
	}
}

function errorCodeOf(code: CloseCode): ErrorCode {
	if (code === "timeout") return "timeout";
	if (code === "internal") return "internal";
	if (code === "token-unknown" || code === "token-used" || code === "token-expired") return "unauthenticated";
	return isLasting(code) ? "forbidden" : "unavailable";
}

export const isPeerError = (error: unknown): error is PeerError => error instanceof PeerError;
