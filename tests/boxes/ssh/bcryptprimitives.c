/* bcryptprimitives.dll, which Wine 8 lacks: the one function of it that extension modules written in Rust call. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    return RtlGenRandom(data, (ULONG)size);
}
