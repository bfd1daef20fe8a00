/**
 * Keys that went down in the console and have not come up. When the focus leaves, their releases go elsewhere and the
 * guest would hold them for ever (Ctrl and Alt, or a letter that repeats): they are then released here, in the console's
 * place. By events on the element itself, so that noVNC, which keeps its own list, forgets them too.
 */
type KeyPress = Pick<KeyboardEvent, "code" | "key"> & { target: EventTarget | null };

export class HeldKeys {
	private readonly held = new Map<string, { key: string; target: EventTarget }>();

	/** `makeUp` makes the event that a release is. */
	constructor(private readonly makeUp: (code: string, key: string) => Event = keyUp) {}

	down({ code, key, target }: KeyPress): void {
		if (code !== "" && target) this.held.set(code, { key, target });
	}

	up({ code }: Pick<KeyPress, "code">): void {
		this.held.delete(code);
	}

	/** The last one first, as hands do. */
	releaseAll(): void {
		const held = [...this.held].reverse();
		this.held.clear();
		for (const [code, { key, target }] of held) target.dispatchEvent(this.makeUp(code, key));
	}
}

const keyUp = (code: string, key: string): Event =>
	new KeyboardEvent("keyup", { code, key, bubbles: true, cancelable: true });
