#include "textflag.h"

// func fold(lanes *[64]byte, text []byte, by *[2]uint64)
//
// Each register of the first four has 16 bytes of the text: what is left of all
// that stood in that lane before. It is taken over the 64 bytes between it and its
// next 16, by multiplying its halves, and these are added.
TEXT ·fold(SB), NOSPLIT, $0-40
	MOVQ lanes+0(FP), DI
	MOVQ text_base+8(FP), SI
	MOVQ text_len+16(FP), CX
	MOVQ by+32(FP), AX
	MOVOU (AX), X8
	MOVOU (DI), X0
	MOVOU 16(DI), X1
	MOVOU 32(DI), X2
	MOVOU 48(DI), X3

next:
	CMPQ CX, $64
	JLT  done
	MOVOA X0, X4
	MOVOA X1, X5
	MOVOA X2, X6
	MOVOA X3, X7
	PCLMULQDQ $0x00, X8, X0 // the lower halves
	PCLMULQDQ $0x00, X8, X1
	PCLMULQDQ $0x00, X8, X2
	PCLMULQDQ $0x00, X8, X3
	PCLMULQDQ $0x11, X8, X4 // the upper ones
	PCLMULQDQ $0x11, X8, X5
	PCLMULQDQ $0x11, X8, X6
	PCLMULQDQ $0x11, X8, X7
	MOVOU (SI), X9
	MOVOU 16(SI), X10
	MOVOU 32(SI), X11
	MOVOU 48(SI), X12
	PXOR X4, X0
	PXOR X5, X1
	PXOR X6, X2
	PXOR X7, X3
	PXOR X9, X0
	PXOR X10, X1
	PXOR X11, X2
	PXOR X12, X3
	ADDQ $64, SI
	SUBQ $64, CX
	JMP  next

done:
	MOVOU X0, (DI)
	MOVOU X1, 16(DI)
	MOVOU X2, 32(DI)
	MOVOU X3, 48(DI)
	RET
