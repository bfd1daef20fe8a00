/** This node's certificate and the cluster's authority: made at the first start, renewed long before they end. */
import { type Clock, toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { type Random, randomRatio } from "../lib/random.ts";
import { endsSoon } from "../model/certificate-rules.ts";
import { endsMs, makeAuthority, makeNodeKey, makeRequest, nodeLifetimeMs, signNode } from "../peer/ca.ts";
import { type Identity, loadIdentity, makeIdentity, renewalDueMs, saveIdentity } from "../peer/identity.ts";
import { certificatesOf } from "../peer/trust.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Proposer, Store } from "../store/store.ts";

export type CertificateDeps = {
	path: string;
	node: StoreIdentity;
	store: Pick<Store, "authority">;
	proposer: Pick<Proposer, "proposeSystem">;
	/** A time that the state shows to be past, whatever the clock says. */
	pastMs?: () => number;
	clock: Clock;
	random: Random;
};

/**
 * From the file; else a new one, also when it is time: a node that was off until its certificate had ended needs nobody's help.
 * `unavailable`: there is none, and no authority here to make one with.
 */
export async function openIdentity(deps: CertificateDeps): Promise<Identity> {
	const { nodeId, clusterId } = deps.node;
	const kept = await loadIdentity(deps.path);
	const isOwn = kept !== null && kept.nodeId === nodeId && kept.clusterId === clusterId;
	if (!isOwn) return makeOwn(deps, null);
	if (!isRenewalDue(deps, kept) || deps.store.authority() === null) return kept;
	// It may be good for a long time yet.
	return makeOwn(deps, kept).catch(() => kept);
}

/**
 * Asked now and then: nodes that were made together do not all say yes at once. Also when it is not valid yet: it was made while
 * the clock was wrong.
 */
export function isRenewalDue({ clock, random }: Pick<CertificateDeps, "clock" | "random">, current: Identity): boolean {
	const nowMs = clock.nowMs();
	return nowMs >= renewalDueMs(current, randomRatio(random)) || nowMs < current.notBeforeMs;
}

const firstPauseMs = 10_000;
const maxPauseMs = 6 * 3_600_000;
/** A new one has to be good for so much longer to be worth it. */
const worthMs = 86_400_000;

/** The certificate that is in use, and its renewal. */
export class OwnCertificate {
	readonly #deps: CertificateDeps & { logger: Logger; onRenewed: (identity: Identity) => void };
	#current: Identity | null = null;
	#renewing: Promise<unknown> = Promise.resolve();
	/** Of attempts that failed. */
	#pauseMs = 0;
	#notBeforeMs = 0;
	#underWay = false;
	/** When one was made last because of a refusal that goes on. */
	#refusedSinceMs: number | null = null;

	constructor(deps: CertificateDeps & { logger: Logger; onRenewed: (identity: Identity) => void }) {
		this.#deps = deps;
	}

	/** Null before `open`. */
	get current(): Identity | null {
		return this.#current;
	}

	async open(): Promise<Identity> {
		this.#current = await openIdentity(this.#deps);
		return this.#current;
	}

	/** For a timer: never fails. */
	async renewIfDue(): Promise<void> {
		if (this.#current !== null && isRenewalDue(this.#deps, this.#current)) await this.#tryToRenew();
	}

	/**
	 * For one that comes often: nobody waits for the next `renewIfDue` with a certificate that is no good now. `refused`: another member
	 * does not take it, or shows one that this node does not take: a clock was wrong when it was made, or is now. Never fails.
	 */
	async renewIfBad(refused: boolean): Promise<void> {
		const { clock } = this.#deps;
		if (this.#current === null || this.#underWay || clock.monotonicMs() < this.#notBeforeMs) return;
		const nowMs = clock.nowMs();
		const { notBeforeMs, notAfterMs } = this.#current;
		const isGood = notBeforeMs <= nowMs && nowMs <= notAfterMs;
		if (!refused) this.#refusedSinceMs = null;
		// A day later one that lasts a day longer can always be made: the refusal was not for that.
		const ranMs = this.#refusedSinceMs === null ? 0 : clock.monotonicMs() - this.#refusedSinceMs;
		if (isGood && !(refused && this.#newEndMs(nowMs) - notAfterMs > worthMs + ranMs)) return;
		if (refused) this.#refusedSinceMs = clock.monotonicMs();
		this.#underWay = true;
		const renewed = await this.#tryToRenew();
		this.#underWay = false;
		this.#pauseMs = renewed ? 0 : Math.min(Math.max(firstPauseMs, 2 * this.#pauseMs), maxPauseMs);
		// One that was made and is no good all the same is not made again and again.
		this.#notBeforeMs = clock.monotonicMs() + Math.max(firstPauseMs, this.#pauseMs);
	}

	/** When one that is made now would end. */
	#newEndMs(nowMs: number): number {
		const [authority] = certificatesOf(this.#deps.store.authority()?.certificatePem ?? "");
		const lastMs = authority === undefined ? Number.POSITIVE_INFINITY : Date.parse(authority.validTo);
		return Math.min(endsMs(nowMs, this.#deps.pastMs?.()), lastMs);
	}

	/** False when there is no new one; the log says why. */
	async #tryToRenew(): Promise<boolean> {
		try {
			await this.renew();
			return true;
		} catch (error) {
			const { logger, clock } = this.#deps;
			const notAfterMs = this.#current?.notAfterMs ?? 0;
			const level = endsSoon(notAfterMs, clock.nowMs()) ? "error" : "warn";
			logger[level]("the certificate of this node could not be renewed", { error, expiresAt: toRfc3339(notAfterMs) });
			return false;
		}
	}

	/** What is on disk is in use, and the one that was made last: they are made one after the other. */
	renew(): Promise<Identity> {
		const renewing = this.#renewing.then(async () => {
			const renewed = await makeOwn(this.#deps, this.#current);
			this.#current = renewed;
			this.#deps.onRenewed(renewed);
			const { fingerprint } = renewed;
			this.#deps.logger.info("this node has a new certificate for the links to others", { fingerprint });
			return renewed;
		});
		this.#renewing = renewing.catch(() => {});
		return renewing;
	}
}

/** The newest time that members have reported: past, unless a clock was ahead, and then a certificate is good for longer. */
export const knownPastMs = (store: Pick<Store, "all">): number =>
	Math.max(0, ...store.all("node").map(({ status }) => Date.parse(status.updatedAt)));

/**
 * Signed here: the authority's key is in the state of each member. `before`: the one that it replaces, which is never good for longer than
 * the new one, whatever the clock says.
 */
export async function makeOwn(deps: CertificateDeps, before: Identity | null): Promise<Identity> {
	const { path, node, clock, random } = deps;
	const authority = await authorityOf(deps);
	const keyPem = await makeNodeKey();
	const csr = await makeRequest(keyPem);
	const { nodeId, clusterId } = node;
	const pastMs = Math.max(deps.pastMs?.() ?? 0, before === null ? 0 : before.notAfterMs - nodeLifetimeMs);
	const certificatePem = await signNode(authority, { csr, nodeId, clusterId, pastMs }, { clock, random });
	const parts = { clusterId, keyPem, certificatePem, authoritiesPem: authority.certificatePem };
	const identity = makeIdentity(parts, clock.nowMs());
	await saveIdentity(path, identity);
	return identity;
}

async function authorityOf({ node, store, proposer, clock, random }: CertificateDeps) {
	const known = store.authority();
	if (known !== null) return known;
	if (!node.founder)
		throw new AppError("unavailable", "This node has no certificate, and its copy of the state has no authority.");
	const made = await makeAuthority({ clock, random });
	try {
		await proposer.proposeSystem({ kind: "authoritySet", ...made });
		return made;
	} catch (error) {
		const others = isAppError(error, "already-exists") ? store.authority() : null;
		if (others === null) throw error;
		return others;
	}
}
