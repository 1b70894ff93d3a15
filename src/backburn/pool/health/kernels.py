"""Three kernels in PTX, which every driver since R410 compiles for every card since Maxwell.

`fill` writes a word that depends on its place (cuda_work.word), `check` counts the words that are not so, and `work`
iterates x -> 5x + 3 modulo 2^20 in an integer and in a float, which must agree (cuda_work.iterated).
"""

_MIX = """
    cvt.u32.u64 %r1, %rd1;
    add.u32 %r1, %r1, %r9;
    mul.lo.u32 %r1, %r1, 0x9E3779B1;
    shr.u32 %r2, %r1, 16;
    xor.b32 %r1, %r1, %r2;
    mul.lo.u32 %r1, %r1, 0x85EBCA6B;
    shr.u32 %r2, %r1, 13;
    xor.b32 %r1, %r1, %r2;
    shl.b64 %rd4, %rd1, 2;
    add.u64 %rd4, %rd3, %rd4;"""

_BEGIN = """
    .reg .pred %p<3>;
    .reg .b32 %r<12>;
    .reg .b64 %rd<8>;
    .reg .f32 %f<6>;
    mov.u32 %r5, %ctaid.x;
    mov.u32 %r6, %ntid.x;
    mov.u32 %r7, %tid.x;
    mad.lo.u32 %r5, %r5, %r6, %r7;
    mov.u32 %r7, %nctaid.x;
    mul.lo.u32 %r6, %r6, %r7;
    cvt.u64.u32 %rd1, %r5;
    cvt.u64.u32 %rd2, %r6;"""

_OVER = """
    ld.param.u64 %rd3, [place];
    ld.param.u64 %rd5, [words];
    ld.param.u32 %r9, [seed];"""

PTX = f"""
.version 6.3
.target sm_50
.address_size 64

.visible .entry fill(.param .u64 place, .param .u64 words, .param .u32 seed)
{{{_BEGIN}{_OVER}
again:
    setp.ge.u64 %p1, %rd1, %rd5;
    @%p1 bra done;{_MIX}
    st.global.u32 [%rd4], %r1;
    add.u64 %rd1, %rd1, %rd2;
    bra again;
done:
    ret;
}}

.visible .entry check(.param .u64 place, .param .u64 words, .param .u32 seed, .param .u64 bad)
{{{_BEGIN}{_OVER}
    ld.param.u64 %rd6, [bad];
again:
    setp.ge.u64 %p1, %rd1, %rd5;
    @%p1 bra done;{_MIX}
    ld.global.u32 %r3, [%rd4];
    setp.eq.u32 %p2, %r3, %r1;
    @!%p2 red.global.add.u32 [%rd6], 1;
    add.u64 %rd1, %rd1, %rd2;
    bra again;
done:
    ret;
}}

.visible .entry work(.param .u64 place, .param .u32 steps)
{{{_BEGIN}
    ld.param.u64 %rd3, [place];
    ld.param.u32 %r9, [steps];
    and.b32 %r1, %r5, 0xFFFFF;
    cvt.rn.f32.u32 %f1, %r1;
    mov.f32 %f2, 0f40A00000;
    mov.f32 %f3, 0f40400000;
again:
    setp.eq.u32 %p1, %r9, 0;
    @%p1 bra done;
    mad.lo.u32 %r1, %r1, 5, 3;
    and.b32 %r1, %r1, 0xFFFFF;
    fma.rn.f32 %f1, %f1, %f2, %f3;
    mul.rn.f32 %f4, %f1, 0f35800000;
    cvt.rmi.f32.f32 %f4, %f4;
    fma.rn.f32 %f1, %f4, 0fC9800000, %f1;
    sub.u32 %r9, %r9, 1;
    bra again;
done:
    cvt.rzi.u32.f32 %r2, %f1;
    shl.b32 %r1, %r1, 12;
    xor.b32 %r1, %r1, %r2;
    shl.b64 %rd4, %rd1, 2;
    add.u64 %rd4, %rd3, %rd4;
    st.global.u32 [%rd4], %r1;
    ret;
}}
"""
