/** A hash over everything that happened, in order: two runs are the same exactly when it is. */
export class Trace {
	#low = 0x811c9dc5;
	#high = 0x9e3779b9;

	add(number: number): void {
		this.#low = Math.imul(this.#low ^ number, 0x01000193);
		this.#low ^= this.#low >>> 15;
		this.#high = (Math.imul(this.#high, 0x85ebca6b) + (number ^ this.#low)) | 0;
	}

	addText(text: string): void {
		for (let at = 0; at < text.length; at++) this.add(text.charCodeAt(at));
	}

	get hash(): string {
		return hex(this.#high) + hex(this.#low);
	}
}

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
