# Multiboot kernel that leaves through the isa-debug-exit device at port 0xf4.
        .set BASE, 0x100000
        .code32
start:
        .long 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
        .long BASE, BASE, 0, 0x109000, BASE + (entry - start)
entry:
        cli
        movl $0x108000, %esp
        movl $0x103003, 0x102000            # PML4[0] -> PDPT
        movl $0x104003, 0x103000            # PDPT[0] -> PD
        movl $0x00000083, 0x104000          # PD[0]: 0-2 MiB, one large page
        movl %cr4, %eax
        orl  $0x620, %eax                   # PAE, OSFXSR, OSXMMEXCPT
        movl %eax, %cr4
        movl $0x102000, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl  $0x100, %eax                   # EFER.LME
        wrmsr
        movl %cr0, %eax
        andl $0xfffffffb, %eax              # EM off
        orl  $0x80000022, %eax              # PG, NE, MP
        movl %eax, %cr0
        lgdt BASE + (gdt_pointer - start)
        ljmp $0x08, $(BASE + (long_mode - start))
        .code64
long_mode:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl $0x107000, %ebx                # work area
        # a gate for vector 3 in the IDT at 0x105000
        movl $(BASE + (breakpoint - start)), %eax
        movl $0x105030, %edi
        movw %ax, (%rdi)
        movw $0x08, 2(%rdi)
        movw $0x8e00, 4(%rdi)
        shrl $16, %eax
        movw %ax, 6(%rdi)
        lidt BASE + (idt_pointer - start)
        movl $1, %eax
        cpuid
        movl $0x107000, %edi
        movl %ecx, %esi                     # features
        btl  $13, %esi                      # CX16
        jnc  1f
        xorl %eax, %eax
        xorl %edx, %edx
        movl $0x55, %ebx
        movl $0xaa, %ecx
        lock cmpxchg16b (%rdi)
        jnz  failed
        cmpq $0x55, (%rdi)
        jne  failed
        cmpq $0xaa, 8(%rdi)
        jne  failed
1:      btl  $26, %esi                      # XSAVE
        jnc  2f
        movq %cr4, %rax
        orl  $0x40000, %eax                 # OSXSAVE
        movq %rax, %cr4
        xorl %ecx, %ecx
        xorl %edx, %edx
        movl $3, %eax
        xsetbv
        movl $0x106000, %edi
        movl $0x1234, %ebp
        movd %ebp, %xmm0
        movl $3, %eax
        xorl %edx, %edx
        xsave (%rdi)
        pxor %xmm0, %xmm0
        xrstor (%rdi)
        movd %xmm0, %ebp
        cmpl $0x1234, %ebp
        jne  failed
2:      xorl %ebp, %ebp
        int3
        cmpl $1, %ebp
        jne  failed
        movb $0x10, %al                     # exit status 0x10 * 2 + 1 = 33
        jmp  leave
failed: movb $0x11, %al
leave:  outb %al, $0xf4
3:      hlt
        jmp  3b
breakpoint:
        incl %ebp
        iretq
        .balign 8
gdt:    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
        .word 23
        .long BASE + (gdt - start)
        .balign 8
idt_pointer:
        .word 4 * 16 - 1
        .quad 0x105000
end:
