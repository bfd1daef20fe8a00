/** This node's certificate and the cluster's authority: made at the first start, renewed long before they end. */
import { type Clock, toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { type Random, randomRatio } from "../lib/random.ts";
import { endsSoon } from "../model/certificate-rules.ts";
import { makeAuthority, makeNodeKey, makeRequest, signNode } from "../peer/ca.ts";
import { type Identity, loadIdentity, makeIdentity, renewalDueMs, saveIdentity } from "../peer/identity.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Proposer, Store } from "../store/store.ts";

export type CertificateDeps = {
	path: string;
	node: StoreIdentity;
	store: Pick<Store, "authority">;
	proposer: Pick<Proposer, "proposeSystem">;
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
	if (!isOwn) return makeOwn(deps);
	if (!isRenewalDue(deps, kept) || deps.store.authority() === null) return kept;
	// It may be good for a long time yet.
	return makeOwn(deps).catch(() => kept);
}

/**
 * Asked now and then: nodes that were made together do not all say yes at once. Also when it is not valid yet: it was made while
 * the clock was wrong.
 */
export function isRenewalDue({ clock, random }: Pick<CertificateDeps, "clock" | "random">, current: Identity): boolean {
	const nowMs = clock.nowMs();
	return nowMs >= renewalDueMs(current, randomRatio(random)) || nowMs < current.notBeforeMs;
}

/** The certificate that is in use, and its renewal. */
export class OwnCertificate {
	readonly #deps: CertificateDeps & { logger: Logger; onRenewed: (identity: Identity) => void };
	#current: Identity | null = null;
	#renewing: Promise<unknown> = Promise.resolve();

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
		try {
			if (this.#current !== null && isRenewalDue(this.#deps, this.#current)) await this.renew();
		} catch (error) {
			const { logger, clock } = this.#deps;
			const notAfterMs = this.#current?.notAfterMs ?? 0;
			const level = endsSoon(notAfterMs, clock.nowMs()) ? "error" : "warn";
			logger[level]("the certificate of this node could not be renewed", { error, expiresAt: toRfc3339(notAfterMs) });
		}
	}

	/** What is on disk is in use, and the one that was made last: they are made one after the other. */
	renew(): Promise<Identity> {
		const renewing = this.#renewing.then(async () => {
			const renewed = await makeOwn(this.#deps);
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

/** Signed here: the authority's key is in the state of each member. */
export async function makeOwn(deps: CertificateDeps): Promise<Identity> {
	const { path, node, clock, random } = deps;
	const authority = await authorityOf(deps);
	const keyPem = await makeNodeKey();
	const csr = await makeRequest(keyPem);
	const certificatePem = await signNode(authority, { csr, ...node }, { clock, random });
	const parts = { clusterId: node.clusterId, keyPem, certificatePem, authoritiesPem: authority.certificatePem };
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
