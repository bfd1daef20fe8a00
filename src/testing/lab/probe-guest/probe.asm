; A guest that is one boot sector (BIOS, real mode), for where even a small Linux takes minutes: emulated by what is emulated.
; On the first serial port it says
;     PROBE up sectors HHHHHHHHHHHHHHHH found HHHHHHHH boots HHHHHHHH
; the size of its disk, the number that it finds in sector 1, and how often it was up with this disk, this time included. Then, some
; times a second, it adds one to the number, writes both there, reads them back, and says one of
;     PROBE wrote HHHHHHHH
;     PROBE failed HH          (the status of the BIOS)
;     PROBE differs HHHHHHHH   (what it read instead)
; When the power button is pressed it says `PROBE stops` and turns the machine off.
; Interfaces: INT 13h extensions (EDD 3.0), the tick counter at 40h:6Ch, 16550 at 3F8h, and the fixed registers of ACPI where SeaBIOS
; puts them in QEMU's machines. `nasm -f bin`.
bits 16
org 0x7c00

written equ 0x8000		; a sector
read_back equ 0x8200		; a sector
parameters equ 0x8400		; of the disk
boots equ written + 4
ticks_between equ 4		; of 55 ms
pm_status equ 0x600		; PM1a_EVT_BLK; PM1_EN is next
pm_control equ 0x604		; PM1a_CNT_BLK
power_button equ 0x100		; in PM1_STS and PM1_EN
sleep_off equ 0x2000		; SLP_EN, and S5 as QEMU has it

start:
	jmp 0:begin		; some BIOSes start at 07c0:0000
begin:
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7c00
	sti
	cld
	mov [drive], dl
	mov dx, pm_status + 2
	mov ax, power_button
	out dx, ax

	mov si, text_up
	call say
	mov word [parameters], 0x1e
	mov si, parameters
	mov ah, 0x48
	mov dl, [drive]
	int 0x13
	mov eax, [parameters + 0x14]
	call say_number
	mov eax, [parameters + 0x10]
	call say_number
	mov si, text_found
	call say
	mov ah, 0x42
	mov word [packet_buffer], written
	call disk
	jc failed
	mov eax, [written]
	call say_number
	mov si, text_boots
	call say
	inc dword [boots]
	mov eax, [boots]
	call say_number
	call end_line

again:
	mov cx, ticks_between
.next:
	mov bx, [0x46c]
.wait:
	hlt
	cmp bx, [0x46c]
	je .wait
	mov dx, pm_status
	in ax, dx
	test ah, power_button >> 8
	jnz stop
	loop .next

	inc dword [written]
	mov word [packet_buffer], written
	mov ah, 0x43
	call disk
	jc failed
	mov word [packet_buffer], read_back
	mov ah, 0x42
	call disk
	jc failed
	mov si, text_wrote
	mov eax, [read_back]
	cmp eax, [written]
	je .same
	mov si, text_differs
.same:
	push eax
	call say
	pop eax
	call say_number
	call end_line
	jmp again

failed:
	mov al, ah
	push ax
	mov si, text_failed
	call say
	pop ax
	call say_byte
	call end_line
	jmp again

stop:
	mov si, text_stops
	call say
	mov dx, pm_control
	mov ax, sleep_off
	out dx, ax
.wait:
	hlt
	jmp .wait

; AH: what to do. Carry and AH: how it went.
disk:
	xor al, al
	mov si, packet
	mov dl, [drive]
	int 0x13
	ret

; EAX, eight digits.
say_number:
	mov cx, 4
.next:
	rol eax, 8
	push eax
	push cx
	call say_byte
	pop cx
	pop eax
	loop .next
	ret

; AL, two digits.
say_byte:
	push ax
	shr al, 4
	call say_digit
	pop ax
	and al, 15
say_digit:
	add al, '0'
	cmp al, '9'
	jbe say_character
	add al, 'a' - '9' - 1
say_character:
	push ax
	mov dx, 0x3fd
.wait:
	in al, dx
	test al, 0x20
	jz .wait
	mov dx, 0x3f8
	pop ax
	out dx, al
	ret

end_line:
	mov si, text_end
; SI, up to a zero.
say:
	lodsb
	test al, al
	jz .done
	call say_character
	jmp say
.done:
	ret

text_up db "PROBE up sectors ", 0
text_found db " found ", 0
text_boots db " boots ", 0
text_wrote db "PROBE wrote ", 0
text_differs db "PROBE differs ", 0
text_failed db "PROBE failed ", 0
text_stops db "PROBE stops", 13, 10, 0
text_end db 13, 10, 0
drive db 0

align 4
packet:
	db 16, 0
	dw 1			; sectors
packet_buffer:
	dw 0, 0			; offset, segment
	dq 1			; first sector

	times 440 - ($ - $$) db 0
	times 510 - ($ - $$) db 0
	dw 0xaa55
