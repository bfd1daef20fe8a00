/** Who is signed in. One cookie session per browser: signing in or out in one tab is followed by the others. */
import { computed, signal } from "@preact/signals";
import { operations } from "../../src/gen/api.ts";
import { isAllowed, type OperationId } from "../../src/model/permissions.ts";
import { claimDrafts, dropDrafts } from "../lib/drafts.ts";
import { common } from "../strings/common.ts";
import { call, read, setUnauthenticatedListener } from "./call.ts";
import { forgetClusterStatus } from "./cluster-status.ts";
import { ApiError, toApiError } from "./errors.ts";
import { startLive, stopLive } from "./live/live.ts";
import { readObstacle, writeObstacle } from "./staleness.ts";
import type { Me, Role } from "./types.ts";

export type SessionState =
	| { status: "unknown" }
	/** The node could not be asked. */
	| { status: "unreachable"; error: ApiError }
	| { status: "signed-out"; reason: "none" | "expired" | "signed-out" }
	| { status: "signed-in"; me: Me };

export const session = signal<SessionState>({ status: "unknown" });
export const me = computed<Me | null>(() => (session.value.status === "signed-in" ? session.value.me : null));
export const role = computed<Role | null>(() => me.value?.role ?? null);

const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("lqx-session");

export async function startSession(): Promise<void> {
	setUnauthenticatedListener(() => end("expired"));
	if (channel) {
		channel.onmessage = ({ data }: MessageEvent<"signed-in" | "signed-out">) => {
			if (data === "signed-out") end("signed-out", false);
			else void refreshMe();
		};
	}
	await refreshMe();
}

/** Asks the API who we are; also after a change of the password or of one's own role. */
export async function refreshMe(): Promise<void> {
	try {
		const value = await read("meGet");
		const before = me.peek();
		if (before && before.requester.id !== value.requester.id) stopLive();
		claimDrafts(value.requester.id);
		session.value = { status: "signed-in", me: value };
		if (value.user?.mustChangePassword) return;
		startLive({
			administrator: value.role === "admin",
			onSignedOut: () => end("expired"),
			// The role may be another, or a new password may be wanted.
			onUserChanged: (id) => {
				if (id === me.peek()?.requester.id) void refreshMe();
			},
		});
	} catch (error) {
		if (error instanceof ApiError && error.status === 401) {
			if (session.peek().status !== "signed-out") session.value = { status: "signed-out", reason: "none" };
		} else if (session.peek().status !== "signed-in") {
			session.value = { status: "unreachable", error: toApiError(error) };
		}
	}
}

export async function signIn(username: string, password: string): Promise<void> {
	await call("sessionCreate", { body: { username, password, cookie: true } });
	await refreshMe();
	channel?.postMessage("signed-in");
}

export async function signOut(): Promise<void> {
	try {
		await call("sessionDeleteCurrent");
	} catch (error) {
		// A session that is over already is what was wanted.
		if (!(error instanceof ApiError && error.status === 401)) throw error;
	}
	end("signed-out");
}

function end(reason: "expired" | "signed-out", tellOthers = true): void {
	if (reason === "signed-out") {
		// Before anything else: also of a session that had expired, and in the other tabs.
		dropDrafts();
		if (tellOthers) channel?.postMessage("signed-out");
	}
	if (session.peek().status === "signed-out") return;
	const known = session.peek().status === "signed-in";
	session.value = { status: "signed-out", reason: known ? reason : "none" };
	stopLive();
	forgetClusterStatus();
}

/** Downloads are links: without the node they would lead to the browser's own error page. */
const downloads: readonly OperationId[] = ["volumeContentGet", "imageContentGet"];
/** What a node does by itself, without a change of the cluster's state. */
const withoutQuorum: readonly OperationId[] = ["vmConsoleTicketCreate"];

/**
 * Why this operation cannot be called now, as a sentence; null when it can: the role, the connection, the quorum. Every
 * control that calls an operation takes its obstacle from here, and adds what the state of its object says.
 */
export function obstacleTo(operation: OperationId): string | null {
	const current = role.value;
	if (!isAllowed(operation, current)) return common.roleObstacle(current ?? "viewer");
	if (downloads.includes(operation) || withoutQuorum.includes(operation)) return readObstacle();
	return operations[operation].method === "GET" ? null : writeObstacle();
}
