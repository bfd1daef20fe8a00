/**
 * What the palette finds: the actions of the page, those of VMs that are named ("stop web-1"), commands, and every
 * object by name. What cannot be done now is found as well, with its reason.
 */
import { live } from "../api/live/live.ts";
import type { LiveKind, Vm } from "../api/types.ts";
import { type Icon, resourceIcons } from "../components/icons.ts";
import type { Action } from "../components/menu.tsx";
import type { PageActions } from "../components/page-actions.ts";
import { resourceHref } from "../components/resource-link.tsx";
import { bestMatches, matchScore } from "../lib/fuzzy.ts";
import { rowActions } from "../pages/vm/vm-actions.ts";
import { frame as t } from "../strings/frame.ts";
import type { Command } from "./commands.ts";

type Route = (url: string) => void;
export type Entry = {
	id: string;
	label: string;
	note: string;
	icon: Icon | undefined;
	keys?: string;
	/** Why it cannot be done now. */
	obstacle: string | null;
	run: () => void;
};
type Scored = { entry: Entry; score: number };

export const searchedKinds: readonly LiveKind[] = ["vm", "node", "image", "volume", "pool", "network"];
const kindWords: Partial<Record<LiveKind, string>> = t.kinds;
const mostShown = 30;
/** Of several that fit alike, those that can be done come first. */
const offPenalty = 5;
/** So many VMs are offered an action for one and the same query. */
const mostVms = 6;

type Sources = { commands: readonly Command[]; page: PageActions | null; route: Route };

/** The best ones, best first. Without a query: what the page can do, then the commands. */
export function findEntries(query: string, { commands, page, route }: Sources): Entry[] {
	const found = [...pageEntries(query, page), ...commandEntries(query, commands, route)];
	if (query !== "") found.push(...vmActionEntries(query, live.vm.items.peek(), route), ...objectEntries(query, route));
	const seen = new Set<string>();
	if (query !== "") for (const one of found) if (one.entry.obstacle !== null) one.score -= offPenalty;
	return found
		.sort((a, b) => b.score - a.score)
		.filter(({ entry: { id } }) => !seen.has(id) && seen.add(id))
		.slice(0, mostShown)
		.map(({ entry }) => entry);
}

/** The same action of the same object has one id, wherever it was found. */
const actionEntry = (action: Action, name: string, words: { label: string; note: string }): Entry => ({
	id: `act ${action.label} ${name}`,
	...words,
	icon: action.icon,
	obstacle: action.obstacle ?? null,
	run: () => action.onSelect(),
});

function pageEntries(query: string, page: PageActions | null): Scored[] {
	if (!page) return [];
	return page.actions.flatMap((action) => {
		const score = query === "" ? 0 : matchScore(query, `${action.label} ${page.title}`);
		if (score === null) return [];
		return [{ entry: actionEntry(action, page.title, { label: action.label, note: page.title }), score: score + 30 }];
	});
}

function commandEntries(query: string, commands: readonly Command[], route: Route): Scored[] {
	return commands.flatMap(({ id, label, group, icon, keys, obstacle = null, run }) => {
		const score = query === "" ? 0 : matchScore(query, label);
		if (score === null) return [];
		const entry = { id, label, note: group, icon, obstacle, run: () => run(route), ...(keys ? { keys } : {}) };
		return [{ entry, score: score + 5 }];
	});
}

function objectEntries(query: string, route: Route): Scored[] {
	const found: Scored[] = [];
	for (const kind of searchedKinds) {
		for (const object of live[kind].items.peek() as readonly { id: string; name: string }[]) {
			const score = matchScore(query, object.name);
			const address = resourceHref(kind, object.id);
			if (score === null || address === null) continue;
			const entry = { id: object.id, label: object.name, note: kindWords[kind] ?? kind, icon: resourceIcons[kind] };
			found.push({ entry: { ...entry, obstacle: null, run: () => route(address) }, score });
		}
	}
	return found;
}

/** "stop web-1" and "web-1 stop": some of the words are the verb, the others the name. A whole name offers all verbs. */
export function vmActionEntries(query: string, vms: readonly Vm[], route: Route): Scored[] {
	const words = query.toLowerCase().split(/\s+/).filter(Boolean);
	const found: Scored[] = [];
	const add = (action: Action, vm: Vm, score: number) => {
		const words = { label: t.palette.act(action.label, vm.name), note: t.kinds.vm };
		found.push({ entry: actionEntry(action, vm.name, words), score });
	};
	const offer = (verb: readonly string[], name: string) => {
		for (const vm of bestMatches(name, vms, (one) => one.name, mostVms)) {
			const score = matchScore(name, vm.name) ?? 0;
			for (const action of rowActions(vm, route)) if (isVerb(verb, action.label)) add(action, vm, score + 20);
		}
	};
	for (let cut = 1; cut < words.length; cut++) {
		offer(words.slice(0, cut), words.slice(cut).join(" "));
		offer(words.slice(cut), words.slice(0, cut).join(" "));
	}
	const whole = vms.find(({ name }) => name.toLowerCase() === query.toLowerCase());
	// Behind the VM itself.
	if (whole) for (const action of rowActions(whole, route)) add(action, whole, 1);
	return found;
}

/** Each word begins one of the label's: "shut", "sh do" for "Shut down". */
function isVerb(words: readonly string[], label: string): boolean {
	const parts = label.toLowerCase().split(" ");
	return words.every((word) => parts.some((part) => part.startsWith(word)));
}
